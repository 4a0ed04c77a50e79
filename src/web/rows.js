/**
 * Lists that are brought up to date in place, so that neither focus nor a
 * half-made decision is lost to a refresh; and how they count.
 */

/** @param {number} count @param {string} noun */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** @param {HTMLElement} target @param {string} text */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Rows that stay keep their elements; others come and go.
 * @template T
 * @template {{ root: HTMLElement, show(item: T): void }} R
 * @param {HTMLElement} parent
 * @param {Map<string, R>} rows
 * @param {T[]} items
 * @param {{ key: (item: T) => string, make: (item: T) => R }} kind
 */
export function reconcile(parent, rows, items, { key, make }) {
  const present = new Set(items.map(key));
  for (const [name, row] of rows) {
    if (present.has(name)) continue;
    row.root.remove();
    rows.delete(name);
  }
  for (const item of items) {
    let row = rows.get(key(item));
    if (!row) {
      row = make(item);
      rows.set(key(item), row);
      parent.append(row.root);
    }
    row.show(item);
  }
}
