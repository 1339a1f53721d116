// Light and dark: as the reader's system says, until the button says otherwise.

import { redrawAll } from "./charts.js";

const KEY = "shoestring-report-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function kept() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a page from a file may have no storage
  }
}

/** Makes the button work. */
export function themeButton(button) {
  let chosen = ["light", "dark"].includes(kept()) ? kept() : null;
  let paper = false;
  const dark = () => !paper && (chosen ?? (system.matches ? "dark" : "light")) === "dark";
  function show(again = true) {
    document.documentElement.dataset.theme = dark() ? "dark" : "light";
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
    if (again) redrawAll();
  }
  button.addEventListener("click", () => {
    chosen = dark() ? "light" : "dark";
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // It lasts as long as the page does.
    }
    show();
  });
  system.addEventListener("change", () => show());
  // Paper is white.
  const paperIs = (on) => {
    paper = on;
    show();
  };
  addEventListener("beforeprint", () => paperIs(true));
  addEventListener("afterprint", () => paperIs(false));
  show(false); // before anything is drawn
}
