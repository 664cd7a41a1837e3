// Serves the site's own files from the copy on this device, so that it works without a network.
// `files.js` is written by `make site`; a change of any file changes its version, and with it
// what the browser compares to find out that there is a new site.

importScripts("files.js"); // VERSION and FILES
const NAME = `lesions-${VERSION}`;

addEventListener("install", (event) => {
  const kept = async () => {
    const store = await caches.open(NAME);
    // At the first visit the page has kept the large files itself, as it loaded them.
    const there = await Promise.all(FILES.map((address) => store.match(address)));
    const missing = FILES.filter((_, place) => !there[place]);
    await store.addAll(missing.map((address) => new Request(address, { cache: "reload" })));
  };
  event.waitUntil(kept());
});

addEventListener("activate", (event) => {
  const cleaned = async () => {
    const names = await caches.keys();
    const old = names.filter((name) => name.startsWith("lesions-") && name !== NAME);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(cleaned());
});

addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || address.origin !== location.origin) return;
  const answered = async () => {
    const store = await caches.open(NAME);
    // Another program may be at another page of this address.
    const page = address.origin + address.pathname;
    const wanted = page === `${registration.scope}index.html` ? "./" : event.request;
    return (await store.match(wanted, { ignoreSearch: true })) ?? fetch(event.request);
  };
  event.respondWith(answered());
});
