// What the console's frame does in the browser by itself.

// Remember light or dark for a year; the page itself is changed by the server's dark_mode.
function ivrToggleTheme() {
  const dark = document.body.classList.contains("body--dark");
  const theme = dark ? "light" : "dark";
  document.cookie = `ivr-theme=${theme}; path=/; max-age=31536000; samesite=strict; secure`;
}

// End the session; the answer is the way to the login page.
async function ivrLogOut() {
  await fetch("/logout", { method: "POST" });
  window.location.href = "/login";
}
