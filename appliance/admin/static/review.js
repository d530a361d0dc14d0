// Flagged answers: "e" goes to the right answer, here and not by way of the server: what is typed next
// must be its words, never another command.
document.addEventListener("keydown", (event) => {
  if (event.key !== "e" || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const field = document.querySelector(".review-answer textarea");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.scrollIntoView({ block: "center" });
});
