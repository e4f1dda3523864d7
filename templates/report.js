for (const b of document.querySelectorAll("button[data-save]")) {
  b.hidden = false;
  b.addEventListener("click", () => {
    const text = document.getElementById(b.dataset.from).textContent;
    const a = document.createElement("a");
    a.href = URL.createObjectURL(new Blob([text]));
    a.download = b.dataset.save;
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 1000);
  });
}
