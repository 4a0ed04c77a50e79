// A page of metrics as a scraper reads it; a line that is none is an error.

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$/;

/** @param {string} page */
export function metrics(page) {
  const samples = [];
  for (const line of page.split('\n')) {
    if (line === '' || line.startsWith('# ')) continue;
    const [, name, labels = '', value] = line.match(SAMPLE) ?? [];
    if (!name || Number.isNaN(Number(value))) throw new Error(`no line of metrics: ${line}`);
    samples.push({ name, labels, value: Number(value) });
  }
  return {
    /** The one sample of a family whose labels hold this one. */
    of(name, label) {
      const found = samples.filter((sample) => sample.name === name && sample.labels.includes(label));
      if (found.length !== 1) throw new Error(`${found.length} samples of ${name} with ${label}`);
      return found[0].value;
    },
    /** A family over all its labels; an unknown one is an error, not a zero. */
    sum(name) {
      const found = samples.filter((sample) => sample.name === name);
      if (found.length === 0) throw new Error(`no metric ${name}`);
      return found.reduce((sum, { value }) => sum + value, 0);
    },
  };
}
