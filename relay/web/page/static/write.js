// Uploads ahead of the form, with progress; a count where length matters; one click sends once.
"use strict";

(() => {
  const form = document.getElementById("write");
  if (!form) return;
  const list = document.getElementById("file-list");
  const chooser = document.getElementById("attach");

  // -- files -------------------------------------------------------------------------------------------------
  let turn = Promise.resolve(); // one after the other: each is told of those before it

  const line = (name) => {
    const item = document.createElement("li");
    item.className = "draft-file";
    const label = document.createElement("span");
    label.className = "draft-name";
    label.textContent = name;
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `${form.dataset.uploading} ${name}`);
    item.append(label, bar);
    list.append(item);
    return { item, bar };
  };

  const failed = (item, words) => {
    item.className = "draft-file draft-bad";
    const said = document.createElement("span");
    said.className = "problem";
    said.textContent = words;
    item.replaceChildren(said);
  };

  const upload = (file, { item, bar }) => new Promise((done) => {
    const body = new FormData();
    for (const known of form.querySelectorAll("input[name=file]")) body.append("file", known.value);
    body.append("attach", file);
    const request = new XMLHttpRequest();
    request.open("POST", form.dataset.files);
    request.setRequestHeader("X-Token", form.elements.token.value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    });
    request.upload.addEventListener("load", () => { bar.removeAttribute("value"); }); // it is being examined
    request.addEventListener("load", () => {
      const type = request.getResponseHeader("Content-Type") || "";
      if ((request.status === 200 || request.status === 422) && type.startsWith("text/html")) {
        const answer = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("li");
        if (answer) item.replaceWith(document.adoptNode(answer)); else failed(item, form.dataset.lost);
      } else {
        failed(item, form.dataset.lost);
      }
      done();
    });
    request.addEventListener("error", () => { failed(item, form.dataset.lost); done(); });
    request.send(body);
  });

  const add = (files) => {
    for (const bad of list.querySelectorAll(".draft-bad")) bad.remove();
    for (const file of files) {
      const shown = line(file.name);
      if (file.size > Number(form.dataset.max)) { // the connection would be cut, and nobody could say why
        failed(shown.item, `${file.name}: ${form.dataset.big}`);
        continue;
      }
      turn = turn.then(() => upload(file, shown));
    }
  };

  chooser.addEventListener("change", () => { add([...chooser.files]); chooser.value = ""; });
  form.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    chooser.classList.add("over");
  });
  form.addEventListener("dragleave", () => chooser.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    chooser.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  list.addEventListener("click", (event) => {
    const drop = event.target.closest("[data-drop]");
    if (!drop) return;
    event.preventDefault();
    drop.closest("li").remove();
    chooser.focus();
  });

  // -- sending -----------------------------------------------------------------------------------------------
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent || list.querySelector("progress")) { // uploads go first
      event.preventDefault();
      if (!sent) {
        const button = event.submitter;
        turn.then(() => { if (!list.querySelector(".draft-bad")) form.requestSubmit(button); });
      }
      return;
    }
    sent = true;
  });
  addEventListener("pageshow", () => { sent = false; });

  // -- how long ----------------------------------------------------------------------------------------------
  const text = document.getElementById("text");
  const count = document.getElementById("count");
  const limit = Number(text.dataset.critical);
  const tell = () => {
    const critical = form.querySelector(".is-critical:checked");
    const length = [...text.value].length;
    count.textContent = critical ? count.dataset.words.replace("#", length.toLocaleString(document.documentElement.lang)) : "";
    count.classList.toggle("over", Boolean(critical) && length > limit);
  };
  form.addEventListener("input", tell);
  tell();
})();
