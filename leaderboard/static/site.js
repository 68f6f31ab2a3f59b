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
  window.ropePercent = (fraction) => (100 * fraction).toFixed(2);

  const language = () => recall("rope-language") ?? (navigator.language?.startsWith("zh") ? "zh" : "en");
  root.dataset.lang = language();
  setTheme(recall("rope-theme"));
  document.addEventListener("DOMContentLoaded", () => {
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
