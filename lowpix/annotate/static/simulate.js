// True labels answer in place of a person, at a person's pace.

import { ask } from "./server.js";

const PACE = 900; // milliseconds: an answer by key, from Bearman et al. (arXiv 1506.02106)

/**
 * @param {() => [number, number, string] | null} question the question on the page
 * @param {() => number} image the image on the page
 * @param {(label: number) => void} answer
 */
export async function simulate(question, image, answer) {
  const pace = Number(new URLSearchParams(location.search).get("pace") ?? PACE);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, pace));
    const [here, pixel] = [image(), question()];
    if (!pixel || document.querySelector("dialog[open]")) continue;
    const label = await ask(`/api/truth/${here}/${pixel[0]}/${pixel[1]}`).catch(() => null);
    if (label !== null && here === image() && pixel === question()) answer(label);
  }
}
