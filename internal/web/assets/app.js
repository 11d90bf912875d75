// What scripts add to the pages: copying, search while one types, buttons that wait for a name to be typed. Without them all works, too.
"use strict";

// ---- copying

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard && !document.queryCommandSupported?.("copy")) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    const text = code.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // over plain HTTP there is no clipboard but by the selection
      const selection = getSelection();
      selection.selectAllChildren(code);
      document.execCommand("copy");
      selection.removeAllRanges();
      button.focus();
    }
    const label = button.querySelector("span");
    const before = label.textContent;
    label.textContent = "✓";
    setTimeout(() => { label.textContent = before; }, 1200);
  });
}

// ---- search

const search = document.querySelector("[data-suggest]");
if (search) {
  const list = document.createElement("div");
  list.className = "found";
  list.id = "found";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", search.placeholder);
  search.after(list);
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", "found"], ["aria-expanded", "false"]]) search.setAttribute(name, value);
  const known = new Map(); // query → HTML that our own server has made
  let asked = "", timer = 0, at = -1, controller;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const show = (open) => {
    list.hidden = !open;
    search.setAttribute("aria-expanded", String(open));
    if (!open) { at = -1; search.removeAttribute("aria-activedescendant"); }
  };
  const choose = (index) => {
    const all = options();
    if (!all.length) return;
    at = (index + all.length) % all.length;
    all.forEach((option, i) => { option.id = "found-" + i; option.setAttribute("aria-selected", String(i === at)); });
    search.setAttribute("aria-activedescendant", "found-" + at);
    all[at].scrollIntoView({ block: "nearest" });
  };
  const fill = (html) => {
    // A template runs no scripts and loads nothing.
    const piece = document.createElement("template");
    piece.innerHTML = html;
    list.replaceChildren(piece.content);
    options().forEach((option, i) => { option.id = "found-" + i; option.setAttribute("aria-selected", "false"); });
    at = -1;
    show(list.childNodes.length > 0);
  };
  const ask = async () => {
    const query = search.value.trim();
    if (query === asked) return;
    asked = query;
    controller?.abort();
    if (!query) { show(false); return; }
    if (known.has(query)) { fill(known.get(query)); return; }
    controller = new AbortController();
    try {
      const answer = await fetch(search.dataset.suggest + "?q=" + encodeURIComponent(query), { signal: controller.signal, headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const html = await answer.text();
      if (known.size > 200) known.clear();
      known.set(query, html);
      if (asked === query) fill(html);
    } catch { /* another key was pressed meanwhile, or the server is gone: enter still leads to the page of results */ }
  };
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 60); });
  search.addEventListener("focus", () => { if (list.childNodes.length && search.value.trim()) show(true); });
  search.addEventListener("keydown", (event) => {
    switch (event.key) {
      case "ArrowDown": if (!list.hidden) { choose(at + 1); event.preventDefault(); } break;
      case "ArrowUp": if (!list.hidden) { choose(at - 1); event.preventDefault(); } break;
      case "Enter": if (!list.hidden && at >= 0) { options()[at].click(); event.preventDefault(); } break;
      case "Escape": if (!list.hidden) { show(false); event.preventDefault(); } break;
    }
  });
  document.addEventListener("click", (event) => { if (!search.parentElement.contains(event.target)) show(false); });
  search.parentElement.addEventListener("focusout", (event) => { if (event.relatedTarget && !search.parentElement.contains(event.relatedTarget)) show(false); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { search.focus(); search.select(); event.preventDefault(); }
  });
}

// ---- the tab of this page is in sight

for (const here of document.querySelectorAll(".tabs [aria-current]")) {
  const tabs = here.closest(".tabs");
  tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - here.offsetWidth) / 2;
}

// ---- menus close when something else is wanted

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

// ---- forms

for (const form of document.querySelectorAll("form[data-confirm]")) {
  const field = form.querySelector("[name=confirm]"), button = form.querySelector("button");
  const check = () => { button.disabled = field.value.trim() !== form.dataset.confirm; };
  field.addEventListener("input", check);
  check();
}
for (const form of document.querySelectorAll("form.filter")) {
  for (const select of form.querySelectorAll("select")) select.addEventListener("change", () => form.requestSubmit());
  // Addresses hold only what was chosen.
  form.addEventListener("submit", () => { for (const field of form.elements) if (field.name && !field.value) field.disabled = true; });
}
addEventListener("pageshow", () => { for (const field of document.querySelectorAll("form.filter :disabled")) field.disabled = false; });

// ---- figures that are not there yet

if (document.querySelector("[data-reload]")) setTimeout(() => location.reload(), 1500);
