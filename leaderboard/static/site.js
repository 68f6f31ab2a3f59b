"use strict";
// Language and theme, remembered where the browser allows it; a page from a file may have no storage.
(() => {
  const root = document.documentElement;
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* no storage */ } };

  const setLanguage = (language) => {
    root.dataset.lang = language;
    root.lang = language === "zh" ? "zh-CN" : "en";
    for (const option of document.querySelectorAll("option[data-zh]")) option.textContent = option.dataset[language];
    document.dispatchEvent(new Event("language"));
  };
  const setTheme = (theme) => { if (theme) root.dataset.theme = theme; };

  window.ropeText = (english, chinese) => (root.dataset.lang === "zh" ? chinese : english);
  // What a page shows is in its address, so that a view can be sent; what is as it comes is left out.
  window.ropeAsked = () => new URLSearchParams(location.hash.slice(1));
  window.ropeKeep = (values) => {
    const kept = new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();
    history.replaceState(null, "", kept ? `#${kept}` : location.pathname + location.search);
  };
  window.ropeSelect = (select, value) => {
    if ([...select.options].some((option) => option.value === value)) select.value = value;
  };
  window.ropeCopy = async (text) => {
    try { await navigator.clipboard.writeText(text); return; } catch { /* not allowed from here */ }
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  const addCopyButtons = () => {
    for (const block of document.querySelectorAll("pre")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "action copy";
      const label = (done) => { button.textContent = done ? window.ropeText("Copied", "已复制") : window.ropeText("Copy", "复制"); };
      button.addEventListener("click", async () => { await window.ropeCopy(block.textContent); label(true); });
      document.addEventListener("language", () => label(false));
      block.before(button);
    }
  };

  window.ropePercent = (fraction) => (100 * fraction).toFixed(2);

  const language = () => recall("rope-language") ?? (navigator.language?.startsWith("zh") ? "zh" : "en");
  root.dataset.lang = language();
  setTheme(recall("rope-theme"));
  document.addEventListener("DOMContentLoaded", () => {
    addCopyButtons();
    setLanguage(language());
    document.getElementById("language").addEventListener("click", () => {
      const next = root.dataset.lang === "zh" ? "en" : "zh";
      remember("rope-language", next);
      setLanguage(next);
    });
    document.getElementById("theme").addEventListener("click", () => {
      const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      remember("rope-theme", isDark ? "light" : "dark");
      setTheme(isDark ? "light" : "dark");
    });
  });
})();
