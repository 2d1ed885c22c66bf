// The service's answers, and its refusals in its own words.

const ROOT = new URL("..", document.baseURI); // the page lives at <service>/ui/, behind any prefix
const TOKEN_KEY = "earshot-token";

/** A refusal, or no answer at all. `status` is the HTTP status, 0 where none came. */
export class ServiceError extends Error {
  constructor(status, reason, message) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** Forgotten with the tab. */
export const hasToken = () => sessionStorage.getItem(TOKEN_KEY) !== null;
export const setToken = (token) => sessionStorage.setItem(TOKEN_KEY, token);

/** GET a JSON document of the service. */
export async function getJson(path) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  } catch {
    throw noAnswer();
  }
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text);
  return JSON.parse(text);
}

/**
 * POST one file as multipart. XMLHttpRequest, because fetch cannot tell how much of a body it has sent.
 *
 * @param {string} path route, with its query.
 * @param {File} file
 * @param {object} options
 * @param {AbortSignal} options.signal cancels; the promise rejects with an AbortError.
 * @param {(fraction: number) => void} options.onUpload fraction sent, 0 to 1.
 * @param {(line: object) => void} [options.onLine] where given, the answer is JSON lines and each is passed on as it
 *   comes; else the answer is one document.
 * @returns {Promise<object | undefined>} the document.
 */
export function postFile(path, file, { signal, onUpload, onLine }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append("file", file, file.name);
    let read = 0;
    const takeLines = (last) => {
      const text = request.responseText;
      for (;;) {
        const end = text.indexOf("\n", read);
        if (end < 0 && !(last && read < text.length)) return;
        const line = text.slice(read, end < 0 ? text.length : end).trim();
        read = end < 0 ? text.length : end + 1;
        if (line) onLine(JSON.parse(line));
      }
    };
    request.upload.onprogress = (event) => event.lengthComputable && onUpload(event.loaded / event.total);
    request.upload.onload = () => onUpload(1);
    if (onLine) request.onprogress = () => request.status === 200 && takeLines(false);
    request.onload = () => {
      if (request.status !== 200) return reject(refusal(request.status, request.responseText));
      try {
        if (onLine) takeLines(true);
        resolve(onLine ? undefined : JSON.parse(request.responseText));
      } catch (error) {
        reject(
          error instanceof ServiceError
            ? error
            : new ServiceError(200, "unreadable", `The answer broke off: ${error.message}`),
        );
      }
    };
    request.onerror = () => reject(noAnswer());
    request.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.open("POST", new URL(path, ROOT));
    const token = sessionStorage.getItem(TOKEN_KEY);
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    signal.aborted ? reject(new DOMException("Cancelled", "AbortError")) : request.send(body);
  });
}

const noAnswer = () =>
  new ServiceError(
    0,
    "no_answer",
    "The service did not answer. It may be down, or it may have refused a file this large.",
  );

function refusal(status, text) {
  try {
    const { reason, message } = JSON.parse(text).error;
    return new ServiceError(status, reason, message);
  } catch {
    return new ServiceError(status, "unknown", `The service answered with status ${status}.`);
  }
}
