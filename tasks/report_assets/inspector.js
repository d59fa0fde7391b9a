// Similarity inspector: the cosine of one patch to every patch of the set, live.
// Descriptors travel reduced and as int8 (tasks/ops/sketch.py), a script for each image, loaded
// when the image comes into view. Everything is computed here; nothing is asked of a server.
"use strict";
const patchflow = (() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  const byId = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const RAMP = page.ramp.match(/../g).map((hex) => parseInt(hex, 16)); // 256 x (r, g, b)

  let source = page.sources[0];
  let query = null; // { number, row, col, kept }
  const probes = page.images.map((image) => ({ image, number: image.number, vectors: {}, visible: false }));
  const byNumber = new Map(probes.map((probe) => [probe.number, probe]));

  // ---- descriptors --------------------------------------------------------------------------
  function load(probe) {
    if (probe.vectors[source.id] !== undefined || !probe.image.sources.includes(source.id)) return;
    probe.vectors[source.id] = null; // on its way
    document.head.append(make("script", { src: `${page.folder}${source.id}/${file(probe.number)}.js` }));
  }

  const file = (number) => String(number).padStart(5, "0");

  // Called by each image's script. Values: base64 of int8 (rows, cols, channels).
  function add(id, number, text) {
    const probe = byNumber.get(number);
    const { offsets, scales } = page.sources.find((one) => one.id === id);
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const levels = new Int8Array(bytes.buffer);
    const vectors = new Float32Array(levels.length);
    const channels = scales.length;
    for (let i = 0; i < levels.length; i++) {
      vectors[i] = offsets[i % channels] + scales[i % channels] * levels[i];
    }
    probe.vectors[id] = vectors;
    if (query && id === source.id) update();
    report();
  }

  // Cosine of the query patch to every patch of a probe, and the place of the largest.
  function cosines(probe) {
    const channels = source.scales.length;
    const asked = byNumber.get(query.number);
    const at = (query.row * asked.image.cols + query.col) * channels;
    const vector = asked.vectors[source.id].subarray(at, at + channels);
    const vectors = probe.vectors[source.id];
    const values = new Float32Array(vectors.length / channels);
    let best = 0;
    for (let patch = 0, i = 0; patch < values.length; patch++) {
      let sum = 0;
      for (let c = 0; c < channels; c++, i++) sum += vector[c] * vectors[i];
      values[patch] = sum;
      if (sum > values[best]) best = patch;
    }
    return { values, best };
  }

  // ---- drawing ------------------------------------------------------------------------------
  function draw(probe, values, low, high) {
    const { rows, cols } = probe.image;
    const canvas = probe.canvas;
    if (canvas.width !== cols) [canvas.width, canvas.height] = [cols, rows];
    const pixels = new ImageData(cols, rows);
    for (let patch = 0; patch < values.length; patch++) {
      const level = Math.max(0, Math.min(255, Math.round(((values[patch] - low) / (high - low)) * 255)));
      pixels.data.set([RAMP[3 * level], RAMP[3 * level + 1], RAMP[3 * level + 2], 255], 4 * patch);
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  // Patch centres do not reach the picture's border; the canvas lies where the patches lie.
  function layCanvas(probe) {
    const [left, top, width, height] = probe.image.area;
    Object.assign(probe.canvas.style, {
      left: `${left * 100}%`, top: `${top * 100}%`, width: `${width * 100}%`, height: `${height * 100}%`,
    });
  }

  function place(mark, probe, row, col) {
    const [left, top, width, height] = probe.image.area;
    mark.hidden = false;
    mark.style.left = `${(left + ((col + 0.5) / probe.image.cols) * width) * 100}%`;
    mark.style.top = `${(top + ((row + 0.5) / probe.image.rows) * height) * 100}%`;
  }

  function update() {
    const ready = probes.filter((probe) => probe.visible && probe.vectors[source.id]);
    if (!query || !byNumber.get(query.number).vectors[source.id]) return;
    const results = ready.map((probe) => ({ probe, ...cosines(probe) }));
    let low = Infinity;
    let high = -Infinity;
    for (const { probe, values } of results) {
      for (const value of values) if (value < low) low = value;
      if (probe.number !== query.number) for (const value of values) if (value > high) high = value;
    }
    if (!(high > low)) high = Math.max(low + 1e-6, 1); // one image: up to the patch itself
    for (const { probe, values, best } of results) {
      draw(probe, values, low, high);
      const itself = probe.number === query.number;
      const { cols } = probe.image;
      const [row, col] = itself ? [query.row, query.col] : [Math.floor(best / cols), best % cols];
      place(probe.mark, probe, row, col);
      probe.mark.classList.toggle("query", itself);
      probe.home.toggleAttribute("data-query", itself);
      probe.home.dataset.best = `${row},${col}`;
      probe.note.textContent = itself ? `patch ${row}, ${col}` : `best ${values[best].toFixed(3)}`;
    }
    byId("low").textContent = low.toFixed(2);
    byId("high").textContent = high.toFixed(2);
  }

  function clear() {
    query = null;
    for (const probe of probes) {
      probe.canvas.getContext("2d").clearRect(0, 0, probe.canvas.width, probe.canvas.height);
      probe.mark.hidden = true;
      probe.home.removeAttribute("data-query");
      probe.note.textContent = "";
    }
    report();
  }

  // ---- asking -------------------------------------------------------------------------------
  function ask(probe, row, col, kept) {
    const { rows, cols } = probe.image;
    const inside = (value, size) => Math.max(0, Math.min(size - 1, value));
    [row, col] = [inside(row, rows), inside(col, cols)];
    const same = query && query.number === probe.number && query.row === row && query.col === col;
    if (same && query.kept === kept) return;
    query = { number: probe.number, row, col, kept };
    report();
    update();
  }

  function patchAt(probe, event) {
    const box = probe.home.getBoundingClientRect();
    const [left, top, width, height] = probe.image.area;
    const x = ((event.clientX - box.left) / box.width - left) / width;
    const y = ((event.clientY - box.top) / box.height - top) / height;
    return [Math.floor(y * probe.image.rows), Math.floor(x * probe.image.cols)];
  }

  function listen(probe) {
    probe.home.addEventListener("pointermove", (event) => {
      if (!query?.kept && event.pointerType !== "touch") ask(probe, ...patchAt(probe, event), false);
    });
    probe.home.addEventListener("click", (event) => {
      const [row, col] = patchAt(probe, event);
      if (query?.kept && query.number === probe.number && query.row === row && query.col === col) {
        ask(probe, row, col, false);
      } else ask(probe, row, col, true);
    });
    probe.home.addEventListener("focus", () => {
      if (!query?.kept && probe.home.matches(":focus-visible")) {
        ask(probe, probe.image.rows >> 1, probe.image.cols >> 1, false);
      }
    });
    probe.home.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const here = query?.number === probe.number ? query : { row: probe.image.rows >> 1, col: probe.image.cols >> 1 };
      const step = steps[event.key];
      if (step) ask(probe, here.row + step[0], here.col + step[1], query?.kept ?? false);
      else if (event.key === "Enter" || event.key === " ") ask(probe, here.row, here.col, !query?.kept);
      else return;
      event.preventDefault();
    });
  }

  function report() {
    const kept = query?.kept ? "patch kept" : "";
    const waits = (probe) => probe.visible && probe.vectors[source.id] === null;
    const loading = probes.filter(waits).length;
    byId("status").textContent = [kept, loading ? `loading ${loading}` : ""].filter(Boolean).join(", ");
  }

  function choose(next) {
    source = next;
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    byId("accuracy").textContent =
      source.mean_error === null
        ? `Descriptors travel as ${source.scales.length} numbers of 8 bits a patch.`
        : `Descriptors travel as ${source.scales.length} numbers of 8 bits a patch. That changes a ` +
          `cosine by ${source.mean_error.toFixed(4)} on average and by less than ` +
          `${source.high_error.toFixed(4)} in 95 % of all cases; the best match stays the same patch ` +
          `or its neighbour for ${percent(source.same_best)} of the patches.`;
    for (const probe of probes) if (probe.visible) load(probe);
    update();
    report();
  }

  // ---- start --------------------------------------------------------------------------------
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const probe = byNumber.get(Number(entry.target.dataset.number));
        probe.visible = entry.isIntersecting;
        if (probe.visible) load(probe);
      }
      update();
      report();
    },
    { rootMargin: "300px" },
  );

  for (const probe of probes) {
    const { image } = probe;
    const picture = make("img", {
      src: image.picture, alt: "", loading: "lazy", decoding: "async",
      width: image.width, height: image.height, draggable: false,
    });
    probe.canvas = make("canvas");
    probe.mark = make("span", { className: "mark", hidden: true });
    probe.home = make("div", { className: "probe", tabIndex: 0 }, picture, probe.canvas, probe.mark);
    probe.home.setAttribute("role", "application");
    probe.home.setAttribute("aria-label", `${image.name}: choose a patch`);
    probe.home.dataset.number = probe.number;
    probe.note = make("span");
    layCanvas(probe);
    listen(probe);
    const caption = make("small", {}, make("span", { textContent: image.name }), probe.note);
    byId("images").append(make("li", {}, probe.home, caption));
    watcher.observe(probe.home);
  }
  for (const one of page.sources) {
    const input = make("input", { type: "radio", name: "source", checked: one === source });
    input.addEventListener("change", () => choose(one));
    byId("sources").append(make("label", { className: "chip" }, input, ` ${one.label}`));
  }
  const setOpacity = () => {
    for (const probe of probes) probe.canvas.style.opacity = byId("opacity").value / 100;
  };
  byId("opacity").addEventListener("input", setOpacity);
  document.addEventListener("keydown", (event) => event.key === "Escape" && clear());
  const ramp = new ImageData(128, 1);
  for (let i = 0; i < 128; i++) ramp.data.set([RAMP[6 * i], RAMP[6 * i + 1], RAMP[6 * i + 2], 255], 4 * i);
  byId("ramp").getContext("2d").putImageData(ramp, 0, 0);
  setOpacity();
  choose(source);
  return { add };
})();
