// A page of images: filters, order, layers, the enlarged view, the player and the matches.
// Images come as a first chunk in the page and further ones as scripts, because a page that
// lies on a disk may not fetch. Only as many are put in the page as somebody scrolled to.
"use strict";
const patchflow = (() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  const images = new Array(page.count);
  const byId = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const layerName = (layer) => page.names[layer] ?? layer;
  const path = (image, layer) => {
    const file = image.pictures[layer];
    return file ? page.folder + file : null;
  };

  // ---- the list -----------------------------------------------------------------------------
  const STEP = 24;
  const shownLayers = new Set(page.layers);
  let order = [];
  let rendered = 0;

  function wanted() {
    const text = byId("find").value.trim().toLowerCase();
    const warned = byId("warned")?.checked;
    const chosen = images.filter(
      (image) =>
        image && image.name.toLowerCase().includes(text) && (!warned || image.warnings.length),
    );
    const score = (image, missing) => image.jaccard ?? missing;
    const orders = {
      given: (a, b) => a.number - b.number,
      name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
      worst: (a, b) => score(a, 2) - score(b, 2),
      best: (a, b) => score(b, -1) - score(a, -1),
    };
    return chosen.sort(orders[byId("order").value]);
  }

  function refresh() {
    order = wanted();
    rendered = 0;
    byId("items").replaceChildren();
    byId("count").textContent = `${order.length} of ${page.count}`;
    renderMore();
  }

  function renderMore() {
    const until = Math.min(rendered + STEP, order.length);
    const part = document.createDocumentFragment();
    for (; rendered < until; rendered++) part.append(item(order[rendered], rendered));
    byId("items").append(part);
  }

  function item(image, position) {
    const heading = make("h3", {}, image.name);
    if (image.jaccard !== null) {
      heading.append(make("span", { textContent: `Jaccard ${image.jaccard.toFixed(3)}` }));
    }
    for (const [name, value] of Object.entries(image.numbers ?? {})) {
      if (value !== null) heading.append(make("span", { textContent: `${name} ${+value.toFixed(3)}` }));
    }
    if (path(image, "image")) {
      heading.append(make("span", { textContent: `${image.width} × ${image.height}` }));
    }
    const layers = make("div", { className: "layers" });
    for (const layer of page.layers) {
      const source = path(image, layer);
      if (!source) continue;
      const picture = make("img", {
        loading: "lazy",
        decoding: "async",
        width: image.width,
        height: image.height,
        alt: `${layerName(layer)} of ${image.name}`,
        src: source,
      });
      const button = make("button", { type: "button" }, picture);
      button.addEventListener("click", () => large.open(position, layer));
      const figure = make("figure", { hidden: !shownLayers.has(layer) }, button);
      figure.dataset.layer = layer;
      figure.append(make("figcaption", { textContent: layerName(layer) }));
      layers.append(figure);
    }
    const element = make("li", { className: "item" }, heading, layers);
    for (const text of image.warnings) {
      element.append(make("p", { className: "note", textContent: text }));
    }
    return element;
  }

  function chip(type, name, label, checked, changed) {
    const input = make("input", { type, name, checked });
    input.addEventListener("change", () => changed(input.checked));
    return make("label", { className: "chip" }, input, ` ${label}`);
  }

  function showLayer(layer, on) {
    if (on) shownLayers.add(layer);
    else shownLayers.delete(layer);
    for (const figure of document.querySelectorAll(".layers figure")) {
      figure.hidden = !shownLayers.has(figure.dataset.layer);
    }
  }

  // ---- the enlarged view --------------------------------------------------------------------
  const large = (() => {
    const dialog = byId("large");
    let position = 0;
    let layer = page.layers[0];

    function show() {
      const image = order[position];
      if (!image) return;
      const finest = (name) => (image.large?.[name] ? page.folder + image.large[name] : path(image, name));
      const base = byId("large-base");
      const top = byId("large-top");
      base.src = finest("image") ?? finest(layer);
      base.alt = image.name;
      top.hidden = layer === "image" || !path(image, layer);
      if (!top.hidden) {
        top.src = finest(layer);
        top.alt = `${layerName(layer)} of ${image.name}`;
      }
      fit();
      byId("large-name").textContent = image.name;
      const score = image.jaccard === null ? "" : ` · Jaccard ${image.jaccard.toFixed(3)}`;
      byId("large-note").textContent = `${position + 1} of ${order.length}${score}`;
      for (const input of byId("large-layers").querySelectorAll("input")) {
        input.checked = input.value === layer;
      }
    }

    // A picture of another shape than the image, such as a sheet of maps, is shown by itself.
    function fit() {
      const [base, top] = [byId("large-base"), byId("large-top")];
      const ratio = (picture) => picture.naturalWidth / picture.naturalHeight || 0;
      const shown = ratio(top.hidden ? base : top);
      base.hidden = !top.hidden && Math.abs(ratio(base) / shown - 1) > 0.03;
      if (shown) dialog.querySelector(".stack").style.setProperty("--ratio", shown);
    }

    function open(at, which) {
      position = at;
      layer = which;
      if (!dialog.open) dialog.showModal();
      show();
    }

    function move(by) {
      position = (position + by + order.length) % order.length;
      show();
    }

    function start() {
      page.layers.forEach((name, number) => {
        const label = chip("radio", "large-layer", `${number + 1} ${layerName(name)}`, false, () => {
          layer = name;
          show();
        });
        label.querySelector("input").value = name;
        byId("large-layers").append(label);
      });
      byId("large-opacity").addEventListener("input", (event) => {
        byId("large-top").style.opacity = event.target.value / 100;
      });
      for (const id of ["large-base", "large-top"]) byId(id).addEventListener("load", fit);
      byId("large-close").addEventListener("click", () => dialog.close());
      byId("large-previous").addEventListener("click", () => move(-1));
      byId("large-next").addEventListener("click", () => move(1));
      dialog.addEventListener("keydown", (event) => {
        if (event.target.type === "range" || event.target.type === "radio") {
          if (event.key.startsWith("Arrow")) return;
        }
        const number = Number(event.key);
        if (event.key === "ArrowRight") move(1);
        else if (event.key === "ArrowLeft") move(-1);
        else if (number >= 1 && number <= page.layers.length) {
          layer = page.layers[number - 1];
          show();
        } else return;
        event.preventDefault();
      });
    }
    return { open, start };
  })();

  // ---- the player ---------------------------------------------------------------------------
  function startPlayer() {
    const home = byId("player");
    const top = page.layers.find((layer) => layer !== "image");
    const base = make("img", { alt: "" });
    const cover = make("img", { alt: "" });
    const stack = make("div", { className: "stack" }, base, cover);
    const scrubber = make("input", { type: "range", min: 0, max: page.count - 1, value: 0 });
    scrubber.setAttribute("aria-label", "Frame");
    const play = make("button", { type: "button", textContent: "Play" });
    const opacity = make("input", { type: "range", min: 0, max: 100, value: 100 });
    const note = make("span", { className: "soft" });
    const bar = make("div", { className: "bar" }, play, note);
    if (top) bar.append(make("label", {}, "Masks ", opacity));
    home.append(stack, scrubber, bar);
    let timer = null;

    function show() {
      const image = images[Number(scrubber.value)];
      if (!image) return;
      home.style.setProperty("--ratio", image.width / image.height);
      base.src = path(image, "image") ?? path(image, top);
      base.alt = image.name;
      const source = top && path(image, top);
      cover.hidden = !source;
      if (source) cover.src = source;
      note.textContent = `${Number(scrubber.value) + 1} of ${page.count} · ${image.name}`;
      scrubber.setAttribute("aria-valuetext", note.textContent);
      const next = images[Number(scrubber.value) + 1];
      if (next && top && path(next, top)) new Image().src = path(next, top);
    }

    play.addEventListener("click", () => {
      if (timer) clearInterval(timer);
      timer = timer
        ? null
        : setInterval(() => {
            scrubber.value = (Number(scrubber.value) + 1) % page.count;
            show();
          }, 120);
      play.textContent = timer ? "Pause" : "Play";
    });
    scrubber.addEventListener("input", show);
    opacity.addEventListener("input", () => (cover.style.opacity = opacity.value / 100));
    show();
  }

  // ---- the matches --------------------------------------------------------------------------
  function startMatches() {
    const home = byId("matches");
    const [source, target] = images;
    const names = "http://www.w3.org/2000/svg";
    const pictures = [source, target].map((image) =>
      make("img", { src: path(image, "image"), alt: image.name, width: image.width, height: image.height }),
    );
    const canvas = document.createElementNS(names, "svg");
    canvas.setAttribute("aria-hidden", "true");
    home.append(...pictures, canvas);
    const rows = page.matches.map((match, number) => {
      const row = make("tr", { tabIndex: 0 });
      const near = (x, y) => `${x.toFixed(1)}, ${y.toFixed(1)}`;
      const values = [
        number + 1,
        near(match.source_x, match.source_y),
        near(match.target_x, match.target_y),
        match.similarity.toFixed(3),
        ...(match.saliency === null ? [] : [match.saliency.toFixed(3)]),
      ];
      row.append(...values.map((value) => make("td", { className: "number", textContent: value })));
      for (const [event, on] of [["mouseenter", 1], ["focus", 1], ["mouseleave", 0], ["blur", 0]]) {
        row.addEventListener(event, () => light(number, on));
      }
      return row;
    });
    byId("match-table").tBodies[0].append(...rows);
    let groups = [];

    function shape(tag, attributes, text) {
      const element = document.createElementNS(names, tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      if (text) element.textContent = text;
      return element;
    }

    function draw() {
      const frame = home.getBoundingClientRect();
      const boxes = pictures.map((picture) => picture.getBoundingClientRect());
      const place = (box, image, x, y) => [
        box.left - frame.left + (x / image.width) * box.width,
        box.top - frame.top + (y / image.height) * box.height,
      ];
      const radius = Math.max(5, Math.min(8, boxes[0].width / 40));
      groups = page.matches.map((match, number) => {
        const [x1, y1] = place(boxes[0], source, match.source_x, match.source_y);
        const [x2, y2] = place(boxes[1], target, match.target_x, match.target_y);
        const colour = page.colours[number % page.colours.length];
        const group = shape("g", { stroke: colour, fill: colour });
        group.append(shape("line", { x1, y1, x2, y2, "stroke-width": 1.5 }));
        for (const [x, y] of [[x1, y1], [x2, y2]]) {
          group.append(shape("circle", { cx: x, cy: y, r: radius, stroke: "#fff" }));
          const text = { x, y: y + radius / 2, "font-size": radius * 1.3, "text-anchor": "middle", fill: "#000", stroke: "none" };
          group.append(shape("text", text, String(number + 1)));
        }
        return group;
      });
      canvas.replaceChildren(...groups);
    }

    function light(number, on) {
      rows[number].classList.toggle("lit", Boolean(on));
      groups.forEach((group, other) => (group.style.opacity = on && other !== number ? 0.15 : 1));
    }

    new ResizeObserver(draw).observe(home);
    draw();
  }

  // ---- start --------------------------------------------------------------------------------
  function add(start, part) {
    part.forEach((image, offset) => {
      images[start + offset] = { ...image, number: start + offset };
    });
  }

  function start() {
    add(0, page.images);
    if (byId("items")) {
      for (const layer of page.layers) {
        byId("shown").append(
          chip("checkbox", "shown", layerName(layer), true, (on) => showLayer(layer, on)),
        );
      }
      large.start();
      byId("items").classList.toggle("dense", page.layers.length === 1);
      for (const id of ["find", "order", "warned"]) byId(id)?.addEventListener("input", refresh);
      byId("size").addEventListener("input", (event) => {
        document.documentElement.style.setProperty("--thumb", `${event.target.value}px`);
      });
      new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && renderMore(), {
        rootMargin: "800px",
      }).observe(byId("more"));
      document.addEventListener("keydown", (event) => {
        const typing = /INPUT|SELECT/.test(document.activeElement?.tagName ?? "");
        if (event.key !== "/" || typing || byId("large").open) return;
        event.preventDefault();
        byId("find").focus();
      });
      refresh();
    }
    if (byId("player")) startPlayer();
    if (byId("matches") && images[0] && images[1]) startMatches();
  }

  start();
  return {
    // Called by each chunk's script.
    add(from, part) {
      add(from, part);
      const unfiltered = !byId("find").value && byId("order").value === "given" && !byId("warned")?.checked;
      if (!unfiltered) return refresh();
      order = wanted();
      byId("count").textContent = `${order.length} of ${page.count}`;
    },
  };
})();
