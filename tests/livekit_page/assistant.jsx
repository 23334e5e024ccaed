// A front end as LiveKit's React components suggest it: who is there, what it does, what was said.
import {LiveKitRoom, RoomAudioRenderer, useChat, useTranscriptions, useVoiceAssistant} from '@livekit/components-react';
import {createRoot} from 'react-dom/client';
import {speak} from './devices.js';

function Assistant() {
  const {agent, audioTrack, agentTranscriptions, state} = useVoiceAssistant();
  const streams = useTranscriptions();
  const {send} = useChat();
  window.page = {speak, send: text => send(text).then(() => null)};
  window.states = window.states || [];
  if (window.states.at(-1) !== state) window.states.push(state);
  return (
    <main>
      <h1>{agent ? agent.name : 'Nobody'}</h1>
      <p>is <b data-testid="state">{state}</b>{audioTrack ? ' and can be heard' : ''}</p>
      <h2>Assistant</h2>
      <ul data-testid="agent">{agentTranscriptions.map(({id, text}) => <li key={id}>{text}</li>)}</ul>
      <h2>Everybody</h2>
      <ul data-testid="streams">
        {streams.map(({streamInfo, participantInfo, text}) =>
          <li key={streamInfo.id}>{participantInfo.identity}: {text}</li>)}
      </ul>
    </main>
  );
}

window.begin = (url, token) => createRoot(document.body.appendChild(document.createElement('div'))).render(
  <LiveKitRoom serverUrl={url} token={token} connect audio>
    <RoomAudioRenderer />
    <Assistant />
  </LiveKitRoom>);
