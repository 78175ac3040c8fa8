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
find("show")?.addEventListener("click", ({ target }) => {
  const isHidden = password.type === "password";
  password.type = isHidden ? "text" : "password";
  target.textContent = isHidden ? target.dataset.hide : target.dataset.show;
});

const meter = find("meter");
if (meter) {
  const advice = find("advice");
  let timer, asking;
  const judge = async () => {
    asking = new AbortController();
    const body = new URLSearchParams(new FormData(password.form));
    body.delete("signup"); // or another tab is told that a form of it is outdated
    const options = { method: "POST", body, signal: asking.signal, redirect: "error" };
    const judged = await (await fetch("/check", options)).json();
    meter.value = judged.strength ?? 0;
    meter.hidden = !judged.advice;
    advice.textContent = judged.advice ?? "";
  };
  password.form.addEventListener("submit", () => (password.type = "password"));
  password.addEventListener("input", () => {
    clearTimeout(timer);
    find("notice")?.remove(); // it is about the password before
    password.removeAttribute("aria-invalid");
    asking?.abort(); // its answer is about what stood there before
    meter.hidden = true;
    advice.textContent = "";
    if (password.value) timer = setTimeout(() => judge().catch(() => {}), 300);
  });
}
