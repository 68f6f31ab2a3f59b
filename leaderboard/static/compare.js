"use strict";
// Two models compared from what the queries of each product add up to: the arithmetic of rope.bench.compare (docs/statistics.md).
(() => {
  const get = (id) => document.getElementById(id);
  const loaded = new Map();
  let shared = null;
  const columns = () => Object.keys(shared.queries); // the cross-domain pairs, in order
  window.ropeProducts = (data) => { shared = data; };
  window.ropeSums = (data) => { for (const [metric, sums] of Object.entries(data.sums)) loaded.set(`${data.model} ${metric}`, sums); };

  // A script and not fetch: a page that was opened from a file may load scripts and nothing else.
  const load = (name) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${window.ropeData}${name}.js`;
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const estimate = (hits, queries) => {
    const total = sum(queries);
    const value = sum(hits) / total;
    return {
      value,
      shifts: hits.map((n, i) => (total > queries[i] ? (value * queries[i] - n) / (total - queries[i]) : 0)),
      parts: hits.map((n) => n / total),
      weights: queries.map((n) => n / total),
    };
  };
  const average = (all) => {
    const mean = (field) => all[0][field].map((_, i) => sum(all.map((one) => one[field][i])) / all.length);
    return { value: sum(all.map((one) => one.value)) / all.length, shifts: mean("shifts"), parts: mean("parts"), weights: mean("weights") };
  };

  const logGamma = (x) => {
    // Lanczos, g = 7: relative error below 1e-13 for x >= 0.5.
    const c = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
    const t = x + 6.5;
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(c.reduce((total, value, i) => (i ? total + value / (x - 1 + i) : value), 0));
  };
  const betaShare = (a, b, x) => {
    if (x <= 0 || x >= 1) return x >= 1 ? 1 : 0;
    if (x > (a + 1) / (a + b + 2)) return 1 - betaShare(b, a, 1 - x);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
    let numerator = 1, denominator = 1 / (1 - ((a + b) * x) / (a + 1)), value = denominator;
    for (let m = 1; m < 10000; m++) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      let change = 1;
      for (const term of [even, odd]) {
        denominator = 1 / (1 + term * denominator);
        numerator = 1 + term / numerator;
        change = denominator * numerator;
        value *= change;
      }
      if (Math.abs(change - 1) < 1e-15) break;
    }
    return (front * value) / a;
  };
  const twoSidedP = (t, degrees) => betaShare(degrees / 2, 0.5, degrees / (degrees + t * t));
  const reach = (degrees) => {
    let low = 0, high = 1e5;
    for (let i = 0; i < 100; i++) {
      const middle = (low + high) / 2;
      if (twoSidedP(middle, degrees) > 0.05) low = middle; else high = middle;
    }
    return high;
  };

  const compare = (a, b) => {
    const shifts = a.shifts.map((shift, i) => shift - b.shifts[i]);
    const parts = a.parts.map((part, i) => part - b.parts[i]);
    const counted = a.weights.filter((weight) => weight > 0).length;
    const value = a.value - b.value;
    const error = Math.sqrt(sum(shifts.map((shift) => shift * shift)));
    const width = reach(counted - 1) * error;
    const won = parts.filter((part) => part > 1e-12).length;
    const lost = parts.filter((part) => part < -1e-12).length;
    const p = error > 1e-12 ? twoSidedP(value / error, counted - 1) : Math.abs(value) <= 1e-12 ? 1 : 2 ** (1 - counted);
    return { a: a.value, b: b.value, value, low: Math.max(-1, value - width), high: Math.min(1, value + width), p, won, lost, tied: counted - won - lost };
  };
  const holm = (values) => {
    const order = values.map((_, i) => i).sort((i, j) => values[i] - values[j]);
    const corrected = [];
    let largest = 0;
    order.forEach((i, place) => { largest = Math.max(largest, Math.min(1, (values.length - place) * values[i])); corrected[i] = largest; });
    return corrected;
  };

  const cell = (text, tag = "td", className = "") => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    if (tag === "th") made.scope = "row";
    return made;
  };
  const points = (fraction) => (fraction < 0 ? "−" : "+") + Math.abs(100 * fraction).toFixed(2);
  const chance = (p) => (p < 0.001 ? "<0.001" : p.toFixed(3));
  const wins = ({ won, tied, lost }) => {
    const made = cell("", "td", "left");
    const bar = document.createElement("span");
    bar.className = "share";
    bar.style.gridTemplateColumns = `${won}fr ${tied}fr ${lost}fr`;
    for (const name of ["won", "tied", "lost"]) { const part = document.createElement("i"); part.className = name; bar.append(part); }
    made.append(bar, `${won} / ${tied} / ${lost}`);
    return made;
  };
  const nameOf = (id) => get(id).selectedOptions[0].textContent;

  const showDifferences = (results) => {
    const corrected = holm(results.map((result) => result.p));
    get("differences").tBodies[0].replaceChildren(...results.map((result, i) => {
      const row = document.createElement("tr");
      const name = i < columns().length ? columns()[i].replace("2", "→") : window.ropeText("mean", "平均");
      row.append(cell(name, "th", "left"), cell(window.ropePercent(result.a)), cell(window.ropePercent(result.b)), cell(points(result.value)), cell(`${points(result.low)} … ${points(result.high)}`), cell(chance(result.p)), cell(chance(corrected[i])), wins(result));
      const random = window.ropeChance[get("metric").value]?.[columns()[i] ?? "mean"];
      row.append(cell(random === undefined ? "–" : window.ropePercent(random)));
      row.dataset.p = result.p;
      return row;
    }));
    const mean = results.at(-1);
    const [first, second] = mean.value >= 0 ? [nameOf("first"), nameOf("second")] : [nameOf("second"), nameOf("first")];
    const by = Math.abs(100 * mean.value).toFixed(2);
    get("verdict").textContent = get("first").value === get("second").value
      ? window.ropeText("Choose two different models.", "请选择两个不同的模型。")
      : corrected.at(-1) < 0.05
        ? window.ropeText(`${first} is ahead of ${second} by ${by} points of ${get("metric").value} in the mean, and the difference is significant.`, `${first} 的 ${get("metric").value} 平均领先 ${second} ${by} 个百分点，差异显著。`)
        : window.ropeText(`${first} is ahead of ${second} by ${by} points of ${get("metric").value} in the mean, which chance alone could explain.`, `${first} 的 ${get("metric").value} 平均领先 ${second} ${by} 个百分点，但可能出于偶然。`);
  };
  const amount = (value) => (Number.isInteger(value) ? value : value.toFixed(2));
  const showProducts = (a, b) => {
    const totals = shared.products.map((product, i) => {
      const total = (counts) => sum(columns().map((column) => counts[column][i]));
      const category = shared.categories?.[i];
      return { name: category ? `${product}, ${category}` : product, a: total(a), b: total(b), queries: total(shared.queries) };
    });
    for (const [id, sign] of [["gains", 1], ["losses", -1]]) {
      const best = totals.filter((one) => sign * (one.a - one.b) > 0).sort((x, y) => sign * (y.a - y.b - x.a + x.b)).slice(0, 6);
      get(id).tBodies[0].replaceChildren(...best.map((one) => {
        const row = document.createElement("tr");
        row.append(cell(one.name, "th", "left"), cell(amount(one.a)), cell(amount(one.b)), cell(one.queries));
        return row;
      }));
    }
  };

  const showPictures = (first, second) => {
    for (const [id, loser, finder] of [["gains-pictures", second, first], ["losses-pictures", first, second]]) {
      const name = `${loser}--${finder}`;
      get(id).hidden = !window.ropePictured.includes(name);
      get(id).querySelector("a").href = `${window.ropeLost}${name}.html`;
    }
  };

  const fields = ["first", "second", "metric"];
  const firstMetric = get("metric").options[0].value;
  const keep = () => {
    const metric = get("metric").value;
    window.ropeKeep({ first: get("first").value, second: get("second").value, metric: metric === firstMetric ? "" : metric });
  };
  const restore = () => {
    const asked = window.ropeAsked();
    for (const id of fields) if (asked.has(id)) window.ropeSelect(get(id), asked.get(id));
    update();
  };

  const update = async () => {
    const [first, second, metric] = fields.map((id) => get(id).value);
    const file = (id) => (metric === firstMetric ? `model-${id}` : `model-${id}.more`);
    const missing = [...new Set([first, second])].filter((id) => !loaded.has(`${id} ${metric}`));
    await Promise.all([shared ? null : load("products"), ...missing.map((id) => load(file(id)))]);
    if (fields.some((id, i) => get(id).value !== [first, second, metric][i])) return;
    const [a, b] = [loaded.get(`${first} ${metric}`), loaded.get(`${second} ${metric}`)];
    const of = (sums) => { const pairs = columns().map((column) => estimate(sums[column], shared.queries[column])); return [...pairs, average(pairs)]; };
    const [ofA, ofB] = [of(a), of(b)];
    showDifferences(ofA.map((one, i) => compare(one, ofB[i])));
    showProducts(a, b);
    showPictures(first, second);
  };
  for (const id of fields) get(id).addEventListener("change", () => { keep(); update(); });
  document.addEventListener("language", update);
  window.addEventListener("hashchange", restore);
  restore();
})();
