// What the page asks of the server. Answers wait in a queue until the server has acknowledged them.

let project = ""; // whose answers these are: another folder's server on the same port refuses them

/** What the page needs once. */
export async function begin() {
  const start = await ask("/api/start");
  project = start.project;
  return start;
}

/** JSON from the server; throws an Error with the server's line. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-project": project },
    body: JSON.stringify(body),
  };
  const reply = await fetch(path, options);
  if (!reply.ok) {
    const fault = new Error(await reply.text());
    fault.status = reply.status;
    throw fault;
  }
  return reply.json();
}

/** The labels of an image: their bytes, height, width and version; null while there are none. */
export async function labels(image) {
  const reply = await fetch(`/api/labels/${image}`);
  if (!reply.ok) return null;
  const [height, width] = reply.headers.get("x-size").split(" ").map(Number);
  const version = Number(reply.headers.get("x-version"));
  return { height, width, version, bytes: new Uint8Array(await reply.arrayBuffer()) };
}

/** An id that no other request has. crypto.randomUUID exists on secure pages alone. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Requests in order. They lie in localStorage, so that those of a closed tab are sent by the next one; the server does
 * none of them twice.
 */
export class Queue {
  /**
   * @param {string} project id of the answers' file
   * @param {(request: object, result: object) => void} acknowledged
   * @param {(line: string) => void} refused
   * @param {(count: number) => void} waiting
   */
  constructor(project, acknowledged, refused, waiting) {
    this.prefix = `lowpix ${project} `;
    this.key = this.prefix + newId();
    this.requests = [];
    this.acknowledged = acknowledged;
    this.refused = refused;
    this.waiting = waiting;
    this.sending = false;
    for (const key of Object.keys(localStorage).filter((key) => key.startsWith(this.prefix))) {
      this.requests.push(...JSON.parse(localStorage.getItem(key)));
      localStorage.removeItem(key);
    }
    this.keep();
    this.send();
  }

  add(request) {
    this.requests.push({ uid: newId(), ...request });
    this.keep();
    this.send();
  }

  /** Pixels of an image whose answers are not acknowledged. */
  pending(image) {
    return this.requests.filter((request) => request.type === "answer" && request.image === image);
  }

  keep() {
    if (this.requests.length) localStorage.setItem(this.key, JSON.stringify(this.requests));
    else localStorage.removeItem(this.key);
    this.waiting(this.requests.length);
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    while (this.requests.length) {
      const batch = this.requests.slice(0, 50);
      let results;
      try {
        results = await ask("/api/do", batch);
      } catch (fault) {
        if (fault.status !== 400) {
          await new Promise((resolve) => setTimeout(resolve, 1000));
          continue;
        }
        // one of the batch breaks a rule: send one by one to find it
        for (const request of batch) {
          try {
            this.done(request, (await ask("/api/do", [request]))[0]);
          } catch (one) {
            if (one.status !== 400) break;
            this.done(request, null);
            this.refused(one.message);
          }
        }
        continue;
      }
      batch.forEach((request, index) => this.done(request, results[index]));
    }
    this.sending = false;
  }

  done(request, result) {
    this.requests = this.requests.filter((other) => other.uid !== request.uid);
    this.keep();
    if (result) this.acknowledged(request, result);
  }
}

/** Listens to the views of an image. The browser connects again by itself when the server comes back. */
export class Live {
  constructor(seen, lost) {
    this.seen = seen;
    this.lost = lost;
  }

  open(image) {
    this.source?.close();
    const source = new EventSource(`/api/live/${image}`);
    this.source = source;
    source.onmessage = (event) => this.seen(JSON.parse(event.data));
    source.onerror = () => {
      this.lost();
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.source === source && this.open(image), 1000);
    };
  }
}
