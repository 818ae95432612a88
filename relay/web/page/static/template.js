// Buttons that put a placeholder where the cursor is; without a script its name is there to be typed.
"use strict";

(() => {
  let last = document.getElementById("text");
  for (const id of ["subject", "text"]) {
    document.getElementById(id).addEventListener("focus", (event) => { last = event.target; });
  }
  for (const button of document.querySelectorAll("[data-insert]")) {
    button.hidden = false;
    button.previousElementSibling.hidden = true;
    button.addEventListener("click", () => {
      last.setRangeText(button.dataset.insert, last.selectionStart, last.selectionEnd, "end");
      last.focus();
    });
  }
})();
