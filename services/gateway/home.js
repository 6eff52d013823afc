// Lets the page's links ask with the reader's token, which stays in this tab.
const field = document.getElementById("token"), answer = document.getElementById("answer");
field.value = sessionStorage.getItem("token") || "";
field.addEventListener("input", () => sessionStorage.setItem("token", field.value.trim()));
for (const link of document.querySelectorAll('li a[href^="/v1/"]')) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    answer.textContent = "";
    const reply = await fetch(link.href, { headers: { authorization: "Bearer " + field.value.trim() } });
    if (reply.ok) {
      window.open(URL.createObjectURL(await reply.blob()), "_blank");
    } else {
      const status = await reply.json().catch(() => ({}));
      answer.textContent = link.textContent + ": " + (status.message || reply.status);
    }
  });
}
