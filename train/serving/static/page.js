// The page of `tuwen serve`. A prompt is only ever text: nothing of it becomes HTML.
"use strict";

const MOST_REMEMBERED = 40;
const at = (id) => document.getElementById(id);
let painting = null;  // the AbortController of what is being painted

function say(text, isWrong = false) {
  at("said").textContent = text;
  at("said").classList.toggle("wrong", isWrong);
}

function asked() {
  return {prompt: at("prompt").value, n: Number(at("n").value), quality: at("best").value, seed: at("seed").value};
}

function fill(wanted) {
  at("prompt").value = wanted.prompt ?? at("prompt").value;
  at("n").value = String(wanted.n ?? at("n").value);
  at("best").value = wanted.quality ?? at("best").value;
  at("seed").value = wanted.seed ?? "";
}

// The link that gives the same pictures again.
function linkOf(wanted) {
  return "#" + new URLSearchParams({prompt: wanted.prompt, n: wanted.n, best: wanted.quality, seed: wanted.seed});
}

function fromLink() {
  const values = new URLSearchParams(location.hash.slice(1));
  if (!values.get("prompt")) return null;
  return {prompt: values.get("prompt"), n: values.get("n") ?? "4", quality: values.get("best") ?? "auto", seed: values.get("seed") ?? ""};
}

function frames(count) {
  at("pictures").replaceChildren(...Array.from({length: count}, (_, number) => {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    const caption = document.createElement("figcaption");
    image.alt = `${at("prompt").value}, ${number + 1}`;
    image.src = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
    figure.append(image, caption);
    return figure;
  }));
}

function show(event) {
  const figure = at("pictures").children[event.index];
  if (!figure) return;
  const source = "data:image/png;base64," + event.b64_json;
  figure.querySelector("img").src = source;
  if (event.type === "image_generation.completed") {
    const save = document.createElement("a");
    save.href = source;
    save.download = `tuwen-${event.seed}-${event.index + 1}.png`;
    save.textContent = "保存 save";
    figure.querySelector("figcaption").replaceChildren(`${event.seed} · ${event.index + 1}`, save);
    if (event.nearest?.length) figure.append(neighbours(event.nearest));
  }
}

// The training pictures that it is nearest to, with whose they are.
function neighbours(nearest) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "像谁 · what it is near";
  const list = document.createElement("ul");
  list.append(...nearest.map((each) => {
    const item = document.createElement("li");
    const image = document.createElement("img");
    image.src = "v1/training/" + encodeURIComponent(each.key);
    image.alt = each.caption;
    image.loading = "lazy";
    const words = document.createElement("span");
    words.textContent = `${each.caption} · ${Math.round(100 * each.equal_codes)}% · ${each.license}`;
    item.append(image, words);
    return item;
  }));
  const owners = document.createElement("p");
  owners.textContent = [...new Set(nearest.map((each) => each.attribution))].filter(Boolean).join("; ");
  details.append(summary, list, owners);
  return details;
}

async function paint() {
  const wanted = asked();
  painting?.abort();
  const mine = painting = new AbortController();
  frames(wanted.n);
  say("正在画 · painting …");
  at("paint").disabled = true;
  try {
    const body = {prompt: wanted.prompt, n: wanted.n, quality: wanted.quality, stream: true, size: "auto"};
    if (wanted.seed !== "") body.seed = Number(wanted.seed);
    const answer = await fetch("v1/images/generations", {
      method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body), signal: mine.signal,
    });
    if (!answer.ok) throw new Error((await answer.json()).error?.message ?? String(answer.status));
    let done = 0, seed = wanted.seed;
    for await (const event of eventsOf(answer.body)) {
      if (event.error) throw new Error(event.error.message);
      show(event);
      seed = event.seed ?? seed;
      if (event.type === "image_generation.completed") done += 1;
    }
    if (done < wanted.n) throw new Error("连接断了 · the connection was lost");
    const link = linkOf({...wanted, seed});
    history.replaceState(null, "", link);
    remember({...wanted, seed: String(seed)});
    say("这个网址会画出同样的图 · this address paints the same pictures again");
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  } finally {
    if (painting === mine) at("paint").disabled = false;
  }
}

async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

function remembered() {
  try { return JSON.parse(localStorage.getItem("tuwen") ?? "[]"); } catch { return []; }
}

function remember(wanted) {
  const link = linkOf(wanted);
  const all = [wanted, ...remembered().filter((each) => linkOf(each) !== link)].slice(0, MOST_REMEMBERED);
  try { localStorage.setItem("tuwen", JSON.stringify(all)); } catch { /* a browser that keeps nothing */ }
  list(all);
}

function list(all) {
  at("history").replaceChildren(...all.map((wanted) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = wanted.prompt;
    button.title = `${wanted.n} × ${wanted.seed}`;
    button.addEventListener("click", () => { fill(wanted); paint(); });
    item.append(button);
    return item;
  }));
}

at("form").addEventListener("submit", (event) => { event.preventDefault(); paint(); });
addEventListener("hashchange", () => { const wanted = fromLink(); if (wanted) { fill(wanted); paint(); } });
list(remembered());
fetch("v1/models").then((answer) => answer.json()).then((models) => { at("model").textContent = models.data[0].id; });
if (fromLink()) { fill(fromLink()); paint(); }
