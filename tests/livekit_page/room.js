// livekit-client as an application uses it, noting what happens; ?client= names the folder of its release.
import {offered, show, speak} from './devices.js';

const notes = {told: [], said: [], legacy: [], states: [], happened: [], levels: [], videos: {}};
let room;

function load(path) {
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement('script'), {src: path, onload: resolve, onerror: reject});
    document.head.append(script);
  });
}

async function connect(url, token, options = {}) {
  const client = new URLSearchParams(location.search).get('client') || 'livekit-client';
  await load(`node_modules/${client}/dist/livekit-client.umd.js`);
  const {Room, RoomEvent, Track, version} = window.LivekitClient;
  room = new Room({adaptiveStream: false, dynacast: false, ...options});
  for (const name of ['Reconnecting', 'Reconnected', 'SignalReconnecting', 'Disconnected', 'LocalTrackSubscribed'])
    room.on(RoomEvent[name], () => notes.happened.push(name));
  room.on(RoomEvent.DataReceived, (payload, participant, kind, topic) => {
    if (topic === 'events') notes.told.push(JSON.parse(new TextDecoder().decode(payload)));
  });
  room.on(RoomEvent.TranscriptionReceived, (segments, participant) => {
    for (const {text, final} of segments) notes.legacy.push({who: participant && participant.identity, text, final});
  });
  room.on(RoomEvent.ParticipantAttributesChanged, changed => {
    if (changed['lk.agent.state']) notes.states.push(changed['lk.agent.state']);
  });
  room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
    const element = track.attach();
    document.body.append(element);
    if (track.kind === Track.Kind.Audio) measure(track.mediaStreamTrack, participant.identity);
    else notes.videos[participant.identity] = element;
  });
  room.registerTextStreamHandler('lk.transcription', async (reader, {identity}) => {
    const said = {who: identity, text: '', pieces: 0, final: false, over: false};
    notes.said.push(said);
    for await (const piece of reader) {
      said.text += piece;
      said.pieces += 1;
    }
    said.final = reader.info.attributes['lk.transcription_final'] === 'true';
    said.over = true;
  });
  const began = performance.now();
  await room.connect(url, token);
  return {version, seconds: (performance.now() - began) / 1000, sid: room.localParticipant.sid};
}

// How loud somebody is, twenty times a second, on the page's clock.
function measure(track, who) {
  const audio = new AudioContext(), analyser = audio.createAnalyser();
  audio.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const level = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    notes.levels.push([performance.now() / 1000, level, who]);
  }, 50);
  track.onended = () => clearInterval(timer);
}

async function call(method, payload = '') {
  try {
    return {answer: await room.localParticipant.performRpc({destinationIdentity: 'assistant', method, payload})};
  } catch (error) {
    return {code: error.code, message: error.message};
  }
}

// What the screen's sender sends.
async function sent() {
  const seen = {};
  for (const {track} of room.localParticipant.trackPublications.values()) {
    if (!track || track.kind !== 'video') continue;
    (await track.sender.getStats()).forEach(report => {
      if (report.type === 'outbound-rtp')
        seen[report.rid || ''] = {width: report.frameWidth, height: report.frameHeight, frames: report.framesEncoded};
    });
  }
  return seen;
}

// What was lost on the way here, and what had to be sent again on the way there.
async function lost() {
  const senders = [...room.localParticipant.trackPublications.values()].map(({track}) => track.sender);
  const receivers = [...room.remoteParticipants.values()]
    .flatMap(other => [...other.trackPublications.values()]).map(({track}) => track.receiver);
  const found = {down: 0, again: 0};
  for (const end of [...senders, ...receivers])
    (await end.getStats()).forEach(report => {
      if (report.type === 'inbound-rtp') found.down += report.packetsLost;
      if (report.type === 'outbound-rtp') found.again += report.retransmittedPacketsSent || 0;
    });
  return found;
}

window.page = {
  notes, show, speak, connect, call, sent, lost, offered,
  microphone: on => room.localParticipant.setMicrophoneEnabled(on).then(() => null),
  unpublish: async () => {
    for (const {track} of [...room.localParticipant.trackPublications.values()])
      if (track) await room.localParticipant.unpublishTrack(track);
  },
  screen: on => room.localParticipant.setScreenShareEnabled(
    on, {resolution: {width: 1920, height: 1080, frameRate: 10}}, {simulcast: true}).then(() => null),
  ask: text => room.localParticipant.sendText(text, {topic: 'lk.chat'}).then(() => null),
  sid: () => room.localParticipant.sid,
  leave: () => room.disconnect(),
  finals: who => notes.said.filter(said => said.who === who && said.over && said.final).map(said => said.text),
  actions: () => notes.told.map(event => event.action),
  loudSince: (at, who = 'assistant') =>
    notes.levels.filter(([when, level, whose]) => when >= at && level > 0.003 && whose === who).map(([when]) => when),
  now: () => performance.now() / 1000,
};
