const input = document.querySelector("input");
const entries = [...document.querySelectorAll("details")].map(entry => [entry, entry.textContent.toLowerCase()]);

function search() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [entry, text] of entries) entry.hidden = !words.every(word => text.includes(word));
  for (const section of document.querySelectorAll("section"))
    section.hidden = !section.querySelector("details:not([hidden])");
  document.querySelector("nav").hidden = words.length > 0;
  document.querySelector("#nothing").hidden = Boolean(document.querySelector("details:not([hidden])"));
}

function show() {
  const entry = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (entry?.tagName !== "DETAILS") return;
  input.value = "";
  search();
  entry.open = true;
  entry.scrollIntoView();
}

input.addEventListener("input", search);
document.querySelector("form").addEventListener("submit", event => event.preventDefault());
window.addEventListener("hashchange", show);
search(); // a browser that comes back fills in what was sought
show();
