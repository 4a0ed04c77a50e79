/**
 * The access token of an invitation. It opens the room for whoever holds it, so
 * it leaves the address bar, the history and the invite link at once, and stays
 * with this tab alone.
 */

/** @param {string} roomName @returns {string | undefined} the token for that room */
export function keepToken(roomName) {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  const key = `ringhall.token ${roomName}`;
  if (given) {
    address.searchParams.delete("token");
    history.replaceState(null, "", address.href);
  }
  try {
    if (given) sessionStorage.setItem(key, given);
    // After a reload the address has none: the tab remembers.
    return given || sessionStorage.getItem(key) || undefined;
  } catch {
    return given || undefined;
  }
}
