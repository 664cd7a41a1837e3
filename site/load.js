// Getting the site's own files: once over the network, afterwards from the copy on this device.

/** Open the cache that the service worker serves from; null where the browser has none. */
async function storeOf(version) {
  if (!("caches" in window)) return null; // not over https, nor on this computer
  return caches.open(`lesions-${version}`).catch(() => null);
}

/** Read a large file, reporting its bytes as they come. */
async function bytesOf(address, store, report) {
  const kept = await store?.match(address);
  const response = kept ?? (await fetch(address, { cache: "no-cache" }));
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  const parts = [];
  const reader = response.body.getReader();
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    parts.push(step.value);
    report(step.value.length);
  }
  const whole = new Blob(parts, { type: response.headers.get("content-type") ?? "" });
  if (!kept) await store?.put(address, new Response(whole)).catch(() => {}); // a full disk: no matter
  return whole.arrayBuffer();
}

/** Read what `make site` wrote about the network, its classes and its tests. */
export async function siteData() {
  const response = await fetch("data/site.json", { cache: "no-cache" });
  if (!response.ok) throw new Error(`data/site.json: ${response.status}`);
  return response.json();
}

/** Read runtime, network and the training photographs' features; `report` hears bytes: so far, in all. */
export async function largeFiles(data, report) {
  const store = await storeOf(data.version);
  const files = [data.runtime, data.network, data.familiarity].filter(Boolean);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let come = 0;
  const heard = (more) => report((come += more), total);
  const [runtime, network, known] = await Promise.all(
    files.map(({ file }) => bytesOf(file, store, heard)),
  );
  return { runtime, network, known: known ? new Int8Array(known) : null };
}

/**
 * Start the network's thread.
 *
 * It starts from a Blob so that it inherits this page's Content-Security-Policy, which a worker
 * with an address of its own would not: neither can send anything anywhere.
 */
export function startWorker() {
  const code = `import ${JSON.stringify(new URL("worker.js", location.href).href)};`;
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  return new Worker(address, { type: "module" });
}
