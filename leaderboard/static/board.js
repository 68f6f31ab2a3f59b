"use strict";
// The board: choose metric and pair, sort, filter, copy. Numbers are hundredths of a percent.
(() => {
  const { metrics, columns, rows, chance } = JSON.parse(document.getElementById("data").textContent);
  const table = document.getElementById("board");
  const body = table.tBodies[0];
  const get = (id) => document.getElementById(id);
  const all = [...body.rows].map((row) => ({ row, id: row.dataset.id, views: rows[row.dataset.id] }));
  const state = { sort: "main", ascending: false };

  const cell = (one, column) => one.views[metrics.indexOf(get("metric").value) * columns.length + columns.indexOf(column)];
  const show = (hundredths) => (hundredths / 100).toFixed(2);
  const chanceAt = (column) => { const value = chance[metrics.indexOf(get("metric").value) * columns.length + columns.indexOf(column)]; return value === null ? "–" : show(value); };
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  const fillMain = (target, found) => {
    target.replaceChildren();
    if (!found) { target.textContent = "–"; return; }
    const [value, low, high] = found;
    const whisker = element("i", undefined, low === null ? "whisker point" : "whisker");
    whisker.style.setProperty("--value", value / 1e4);
    whisker.style.setProperty("--low", (low ?? value) / 1e4);
    whisker.style.setProperty("--high", (high ?? value) / 1e4);
    target.append(element("b", show(value)), element("small", low === null ? "\u00a0" : `${show(low)} – ${show(high)}`), whisker);
  };

  const fill = () => {
    const column = get("column").value;
    for (const one of all) {
      const found = cell(one, column);
      one.row.querySelector("td.rank").textContent = found?.[3] ?? "–";
      fillMain(one.row.querySelector("td.main"), found);
      const seeds = one.row.querySelector(".seeds");
      if (seeds) seeds.textContent = `${show(found[4])}–${show(found[5])}`;
      const pairs = one.row.querySelectorAll("td.pair");
      columns.slice(0, -1).forEach((pair, i) => {
        const value = cell(one, pair)?.[0];
        pairs[i].textContent = value === undefined ? "–" : show(value);
        pairs[i].style.setProperty("--heat", (value ?? 0) / 1e4);
      });
    }
    if (get("chance")) {
      get("chance").querySelector("td.main").textContent = chanceAt(column);
      get("chance").querySelectorAll("td.pair").forEach((target, i) => { target.textContent = chanceAt(columns[i]); });
    }
    const name = column === "mean" ? window.ropeText("mean", "平均") : column.replace("2", "→");
    get("main-heading").textContent = `${name} ${get("metric").value}, %`;
    for (const heading of table.querySelectorAll("th.pair")) heading.classList.toggle("chosen", heading.dataset.sort === column);
  };

  const keys = {
    name: (one) => one.row.dataset.name.toLowerCase(),
    status: (one) => ["recomputed", "claimed", "reranked", "reported"].indexOf(one.row.dataset.status),
    parameters: (one) => (one.row.dataset.parameters === "" ? null : Number(one.row.dataset.parameters)),
    rank: (one) => cell(one, get("column").value)?.[3] ?? null,
    main: (one) => cell(one, get("column").value)?.[0] ?? null,
  };
  const keyOf = (one) => (keys[state.sort] ? keys[state.sort](one) : cell(one, state.sort)?.[0] ?? null);

  const sort = () => {
    const keyed = all.map((one, place) => ({ one, place, key: keyOf(one) }));
    keyed.sort((a, b) => {
      // What is not known goes last, whichever way the rest is sorted.
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
      const order = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
      return (state.ascending ? order : -order) || a.place - b.place;
    });
    body.append(...keyed.map(({ one }) => one.row));
    for (const heading of table.tHead.rows[0].cells) {
      if (heading.dataset.sort === state.sort) heading.setAttribute("aria-sort", state.ascending ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    }
  };

  const fits = ({ row }) => {
    const { name, id, status, modalities, parameters } = row.dataset;
    const wanted = get("search").value.trim().toLowerCase();
    const modality = get("modality").value;
    const limit = get("parameters").value;
    return (
      (!get("status").value || status === get("status").value) &&
      (!modality || (modality === "image" ? modalities === "image" : modalities.split(" ").includes(modality))) &&
      (!limit || (parameters !== "" && Number(parameters) <= Number(limit))) &&
      (!wanted || name.toLowerCase().includes(wanted) || id.includes(wanted))
    );
  };

  const filter = () => {
    let shown = 0;
    for (const one of all) { one.row.hidden = !fits(one); shown += !one.row.hidden; }
    get("none").hidden = shown > 0;
    get("count").textContent = window.ropeText(`${shown} of ${all.length} models shown`, `显示 ${shown} / ${all.length} 个模型`);
  };

  const escape = (text) => {
    const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
    return text.replace(/[&%$#_{}\\~^]/g, (letter) => special[letter] ?? `\\${letter}`);
  };
  const marks = { claimed: "$^{\\ast}$", reranked: "$^{\\ddagger}$", reported: "$^{\\dagger}$" };
  const notes = {
    claimed: "not recomputed from the vectors",
    reranked: "a re-ranker on the candidates of another row; not ranked among embeddings",
    reported: "as published; queries and galleries unpublished; may not be comparable",
  };
  const latex = () => {
    const lines = ["\\begin{tabular}{l" + "r".repeat(columns.length) + "}", "\\toprule"];
    lines.push(["Model", ...columns.map((column) => column.replace("2", "$\\to$"))].join(" & ") + " \\\\", "\\midrule");
    const used = new Set();
    for (const row of body.rows) {
      if (row.hidden) continue;
      const one = { views: rows[row.dataset.id] };
      const mark = marks[row.dataset.status] ?? "";
      if (mark) used.add(row.dataset.status);
      const values = columns.map((column) => { const found = cell(one, column); return found ? show(found[0]) : "--"; });
      lines.push([escape(row.dataset.name) + mark, ...values].join(" & ") + " \\\\");
    }
    if (chanceAt("mean") !== "–") lines.push("\\midrule", ["Random order", ...columns.map(chanceAt)].join(" & ") + " \\\\");
    const told = Object.keys(marks).filter((status) => used.has(status)).map((status) =>
      `\\multicolumn{${columns.length + 1}}{l}{\\footnotesize ${marks[status]} ${notes[status]}} \\\\`);
    return [`% ${get("metric").value} in %`, ...lines, "\\bottomrule", ...told, "\\end{tabular}", ""].join("\n");
  };
  const fields = ["metric", "column", "status", "modality", "parameters", "search"];
  const isDefault = (field) => (field.id === "search" ? field.value === "" : field.selectedIndex === 0);
  const keep = () => {
    const values = Object.fromEntries(fields.map((id) => [id, isDefault(get(id)) ? "" : get(id).value]));
    const sorted = state.sort === "main" && !state.ascending ? "" : `${state.ascending ? "" : "-"}${state.sort}`;
    window.ropeKeep({ ...values, sort: sorted });
  };
  const restore = () => {
    const asked = window.ropeAsked();
    for (const id of fields) {
      if (id === "search") get(id).value = asked.get(id) ?? "";
      else { get(id).selectedIndex = 0; window.ropeSelect(get(id), asked.get(id)); }
    }
    const sorted = asked.get("sort") ?? "-main";
    const heading = sorted.replace(/^-/, "");
    const isKnown = [...table.tHead.rows[0].cells].some((one) => one.dataset.sort === heading);
    Object.assign(state, isKnown ? { sort: heading, ascending: !sorted.startsWith("-") } : { sort: "main", ascending: false });
    fill(); sort(); filter();
  };

  table.tHead.addEventListener("click", (event) => {
    const heading = event.target.closest("th");
    if (!heading || !event.target.closest("button")) return;
    const isUpwards = ["rank", "name", "status"].includes(heading.dataset.sort);
    state.ascending = state.sort === heading.dataset.sort ? !state.ascending : isUpwards;
    state.sort = heading.dataset.sort;
    sort(); keep();
  });
  for (const id of ["metric", "column"]) get(id).addEventListener("change", () => { Object.assign(state, { sort: "main", ascending: false }); fill(); sort(); keep(); });
  for (const id of ["status", "modality", "parameters"]) get(id).addEventListener("change", () => { filter(); keep(); });
  get("search").addEventListener("input", () => { filter(); keep(); });
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  get("latex").addEventListener("click", async () => {
    await window.ropeCopy(latex());
    get("copied").textContent = window.ropeText("Copied", "已复制");
  });
  document.addEventListener("language", () => { fill(); filter(); });
  window.addEventListener("hashchange", restore);
  restore();
})();
