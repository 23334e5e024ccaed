// LiveKit's server library, as a back end uses it, but in a page.
import {AccessToken, RoomServiceClient} from 'livekit-server-sdk';

let rooms;

window.page = {
  open: (host, key, secret) => { rooms = new RoomServiceClient(host, key, secret); },
  token: async (key, secret, identity, room) => {
    const token = new AccessToken(key, secret, {identity});
    token.addGrant({roomJoin: true, room});
    return token.toJwt();
  },
  ask: async (method, ...those) => {
    try {
      return JSON.parse(JSON.stringify(await rooms[method](...those) ?? null,
        (_, value) => typeof value === 'bigint' ? Number(value) : value));
    } catch (error) {
      return {status: error.status, code: error.code, message: error.message};
    }
  },
  send: (room, text, topic) => rooms.sendData(room, new TextEncoder().encode(text), 0, {topic}).then(() => null),
};
