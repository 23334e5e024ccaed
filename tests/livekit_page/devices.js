// A microphone and a screen whose content the test decides: what is spoken when, and what is shown.

const WIDTH = 1920, HEIGHT = 1080;

const audio = new AudioContext({sampleRate: 48000});
const mouth = audio.createGain();
const canvas = Object.assign(document.createElement('canvas'), {width: WIDTH, height: HEIGHT});
const context = canvas.getContext('2d');
let labels = ['Open', 'Save', 'Print'], shade = 255, ticks = 0;

function draw() {
  context.fillStyle = `rgb(${shade},${shade},${shade})`;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  context.font = '44px sans-serif';
  labels.forEach((label, index) => {
    context.fillStyle = '#e0e0e0';
    context.fillRect(60 + 260 * index, 40, 220, 80);
    context.fillStyle = '#111';
    context.fillText(label, 90 + 260 * index, 96);
  });
  context.font = '80px sans-serif';
  context.fillText('Quarterly report', 100, 320);
  // A canvas that does not change gives no frames; nobody reads this.
  context.fillStyle = ticks++ % 2 ? '#fff' : '#eee';
  context.fillRect(WIDTH - 20, HEIGHT - 20, 20, 20);
}
setInterval(draw, 100);

navigator.mediaDevices.getUserMedia = async () => {
  const out = audio.createMediaStreamDestination();
  mouth.connect(out);
  return out.stream;
};
navigator.mediaDevices.getDisplayMedia = async () => canvas.captureStream(10);

const offers = [];
const setLocalDescription = RTCPeerConnection.prototype.setLocalDescription;
RTCPeerConnection.prototype.setLocalDescription = function (description) {
  if (description && description.sdp) offers.push(description.sdp);
  return setLocalDescription.call(this, description);
};

/** The lines with that beginning in all that was offered. */
export function offered(beginning) {
  return offers.flatMap(sdp => sdp.split('\r\n')).filter(line => line.startsWith(beginning));
}

/** Show other buttons, on a background of another shade. */
export function show(these, grey = 255) {
  [labels, shade] = [these, grey];
}

/** Speak a WAV file, given in base64, to the end. */
export async function speak(wav) {
  await audio.resume();
  const bytes = Uint8Array.from(atob(wav), character => character.charCodeAt(0));
  const source = audio.createBufferSource();
  source.buffer = await audio.decodeAudioData(bytes.buffer);
  source.connect(mouth);
  const over = new Promise(resolve => { source.onended = resolve; });
  source.start();
  await over;
}
