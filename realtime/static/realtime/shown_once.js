"use strict";

// The page is the answer to the request that made a secret. To load it again would make another, so that leads to where
// "Done" does.
history.replaceState(null, "", document.querySelector("[data-afterwards]").dataset.afterwards);

// A button with data-copies="ID" copies the text of that element. Where the clipboard can't be had (no HTTPS, no
// permission) it selects the text, and says what to press. Without JavaScript there is no button.
for (const button of document.querySelectorAll("[data-copies]")) {
    const source = document.getElementById(button.dataset.copies);
    const status = document.getElementById(button.getAttribute("aria-describedby"));
    button.hidden = false;
    button.addEventListener("click", async () => {
        try {
            await navigator.clipboard.writeText(source.textContent);
            status.textContent = button.dataset.done;
        } catch {
            getSelection().selectAllChildren(source);
            status.textContent = button.dataset.failed;
        }
    });
}
