// Presses keys as a reader would, and leaves what came of it in the title.
const name = () => document.activeElement.textContent.trim();
const press = (key) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }),
);
const counted = () => document.getElementById("shown").textContent;
const links = [...document.querySelectorAll(".picture a")];
const said = { stops: links.filter((link) => link.tabIndex === 0).length };
links[0].focus();
said.first = name();
press("ArrowRight");
said.right = name();
// Browsers make a click of Enter on a link.
document.activeElement.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
said.chosen = counted();
press("Escape");
said.escaped = counted();
press("ArrowLeft");
said.back = name();
document.title = JSON.stringify(said);
