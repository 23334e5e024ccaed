// Publishes a microphone and a picture with the WHIP clients that are on npm; window.page is what a test drives.
import { WHIPClient as Eyevinn } from "@eyevinn/whip-web-client";
import { WHIPClient as Medooze } from "whip-whep/whip.js";

function picture() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  const brush = canvas.getContext("2d");
  let count = 0;
  setInterval(() => {
    brush.fillStyle = "#fff";
    brush.fillRect(0, 0, 640, 360);
    brush.fillStyle = "#111";
    brush.font = "40px sans-serif";
    brush.fillText(`Quarterly report ${(count += 1)}`, 40, 120);
  }, 200);
  return canvas.captureStream(10).getTracks();
}

async function eyevinn(url, token, media) {
  const client = new Eyevinn({ endpoint: url, opts: { authkey: token, iceServers: [] } });
  await client.setIceServersFromEndpoint();
  await client.ingest(media);
  return () => client.destroy();
}

async function medooze(url, token, media) {
  const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  for (const track of media.getTracks()) peer.addTransceiver(track, { direction: "sendonly" });
  const client = new Medooze();
  await client.publish(peer, url, token);
  return () => client.stop();
}

const clients = { eyevinn, medooze };
let stop;

window.page = {
  async start(name, url, token) {
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    stop = await clients[name](url, token, new MediaStream([...microphone.getTracks(), ...picture()]));
  },
  stop: () => stop(),
};
