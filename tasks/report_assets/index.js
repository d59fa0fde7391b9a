// The overview: cards are in the page already; this only filters them.
"use strict";
(() => {
  const find = document.getElementById("find");
  const cards = [...document.querySelectorAll("#cards > li")];
  const count = document.getElementById("count");
  const kinds = [...document.querySelectorAll("input[name=kind]")];

  function apply() {
    const wanted = find.value.trim().toLowerCase();
    const kind = kinds.find((input) => input.checked)?.value ?? "";
    let shown = 0;
    for (const card of cards) {
      const fits = card.dataset.name.includes(wanted) && (!kind || card.dataset.kind === kind);
      card.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${cards.length}`;
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== find) {
      event.preventDefault();
      find.focus();
    }
  });
  find.addEventListener("input", apply);
  for (const input of kinds) input.addEventListener("change", apply);
  apply();
})();
