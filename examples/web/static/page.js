"use strict";
// Without this file everything works but the countdown, the meter and "show".
const find = (id) => document.getElementById(id);

// A page from the browser's memory may show a step that is over.
addEventListener("pageshow", (event) => event.persisted && location.reload());

const resend = find("resend");
if (resend) {
  const words = resend.textContent;
  const opens = Date.now() + 1000 * Number(resend.dataset.seconds);
  const tick = () => {
    const left = Math.ceil((opens - Date.now()) / 1000);
    resend.disabled = left > 0;
    resend.textContent = left > 0 ? `${words} (${left} s)` : words;
    if (left > 0) setTimeout(tick, 1000);
  };
  tick();
}

const password = find("password");
const show = find("show");
if (show) {
  show.hidden = false;
  show.addEventListener("click", () => {
    const isHidden = password.type === "password";
    password.type = isHidden ? "text" : "password";
    show.textContent = isHidden ? show.dataset.hide : show.dataset.show;
  });
}

const judgement = find("judgement");
if (judgement) {
  let timer, asking;
  password.addEventListener("input", () => {
    clearTimeout(timer);
    asking?.abort(); // an answer about what stood there before
    timer = setTimeout(judge, 300);
  });
  const judge = async () => {
    asking = new AbortController();
    judgement.hidden = true;
    if (!password.value) return;
    try {
      const body = new URLSearchParams(new FormData(password.form));
      const answer = await fetch("/check", { method: "POST", body, signal: asking.signal });
      if (answer.status !== 200) return;
      const { strength, advice } = await answer.json();
      find("meter").value = strength;
      find("advice").textContent = advice;
      judgement.hidden = false;
    } catch {} // without an answer there is no meter
  };
}
