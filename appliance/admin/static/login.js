// What the login page does by itself: dark as the browser wishes, Caps Lock, showing a password.

if (!document.body.dataset.theme && window.matchMedia("(prefers-color-scheme: dark)").matches) {
  document.body.classList.add("body--dark");
}

function showCapsLock(event) {
  if (typeof event.getModifierState !== "function") return;
  const on = event.getModifierState("CapsLock");
  for (const hint of document.querySelectorAll(".login-caps")) hint.hidden = !on;
}
document.addEventListener("keydown", showCapsLock);
document.addEventListener("keyup", showCapsLock);

for (const button of document.querySelectorAll(".login-show")) {
  button.addEventListener("click", () => {
    const field = document.getElementById(button.dataset.shows);
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
    field.focus();
  });
}
