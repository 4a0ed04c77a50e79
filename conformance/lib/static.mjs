// A web server for pages that are not the server's own: the official SDK's and the
// harness's, from another origin than the room server, as in the field.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { repository } from './server.mjs';

const MOUNTS = {
  '/client2/': path.join(repository, 'conformance/node_modules/@flashphoner/websdk'),
  '/pages/': path.join(repository, 'conformance/pages'),
};
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.png': 'image/png', '.mp4': 'video/mp4',
};

/** Serves until the case ends; gives the origin. */
export async function servePages(t, host = '127.0.0.1') {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://pages');
    const mount = Object.keys(MOUNTS).find((prefix) => pathname.startsWith(prefix));
    const file = mount && path.join(MOUNTS[mount], path.normalize(`/${decodeURIComponent(pathname.slice(mount.length))}`));
    try {
      const body = await readFile(file);
      response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  t.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://${host}:${server.address().port}`;
}
