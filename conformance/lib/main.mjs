// node lib/main.mjs [--list] [--full] [CASE…]

import { existsSync } from 'node:fs';

import { closeBrowsers } from './browsers.mjs';
import { allCases, runCases } from './runner.mjs';
import { binary, running } from './server.mjs';

const HELP = 'usage: main.mjs [--list] [--full] [CASE…]';

async function main(args) {
  const flags = args.filter((a) => a.startsWith('--'));
  const unknown = flags.find((f) => !['--list', '--full'].includes(f));
  if (unknown) throw new Error(`unknown option ${unknown}\n${HELP}`);
  const ids = args.filter((a) => !a.startsWith('--'));
  const cases = await allCases();
  if (flags.includes('--list')) {
    for (const { id, requirement, full } of cases) console.log(`${id.padEnd(34)} ${full ? '[full] ' : ''}${requirement}`);
    return true;
  }
  if (!existsSync(binary)) throw new Error(`${binary} is not there: cargo build --release makes it`);
  return runCases(ids.length > 0 ? named(cases, ids) : cases.filter((c) => !c.full || flags.includes('--full')));
}

/** The cases of these ids, or whose id begins with one of them followed by a hyphen. */
function named(cases, ids) {
  return ids.flatMap((id) => {
    const found = cases.filter((c) => c.id === id);
    const chosen = found.length > 0 ? found : cases.filter((c) => c.id.startsWith(`${id}-`));
    if (chosen.length === 0) throw new Error(`no case is called ${id}; --list names them`);
    return chosen;
  });
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await Promise.allSettled([closeBrowsers(), ...[...running].map((server) => server.stop())]);
    process.exit(130);
  });
}

main(process.argv.slice(2)).then(
  (passed) => process.exit(passed ? 0 : 1),
  (error) => {
    console.error(error.message);
    process.exit(2);
  },
);
