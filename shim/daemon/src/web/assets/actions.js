
// The token, and what it permits: to drain an uplink, and to use it again.

const TOKEN = 'throughline-token';
const token = () => sessionStorage.getItem(TOKEN);
const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** Returns the reason that an answer gives, as a sentence. */
async function reasonOf(response) {
  try { return (await response.json()).error ?? response.statusText; } catch { return response.statusText; }
}

/** Asks for the token; returns whether there is one. */
function askForToken(problem = '') {
  const dialog = $('token-dialog');
  say($('token-error'), problem);
  $('token').value = '';
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(Boolean(token())), { once: true });
  });
}

$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $('token').value.trim());
  $('token-dialog').close();
});
$('token-cancel').addEventListener('click', () => $('token-dialog').close());
$('unlock').addEventListener('click', async () => {
  if (token()) sessionStorage.removeItem(TOKEN);
  else await askForToken();
  refresh();
});

let draining = null;
$('drain-cancel').addEventListener('click', () => $('drain-dialog').close());
$('drain-confirm').addEventListener('click', () => {
  $('drain-dialog').close();
  change('drain', draining);
});

/** Drains an uplink once that is confirmed, or uses it again. */
function request(uplink) {
  if (uplink.draining) { change('resume', uplink.name); return; }
  draining = uplink.name;
  say($('drain-title'), `Drain ${uplink.name}?`);
  $('drain-dialog').showModal();
}

let hiding = 0;
function tell(text) {
  say($('outcome'), text);
  clearTimeout(hiding);
  hiding = setTimeout(() => say($('outcome'), ''), 10000);
}

async function change(what, uplink) {
  tell(what === 'drain' ? `Draining ${uplink} …` : `Resuming ${uplink} …`);
  try {
    const response = await fetch(what, {
      method: 'POST', headers: { ...authorization(), 'Content-Type': 'application/json' }, body: JSON.stringify({ uplink }),
    });
    if (response.status === 401) {
      sessionStorage.removeItem(TOKEN);
      tell('');
      if (await askForToken('That was not the token.')) change(what, uplink);
      else refresh();
      return;
    }
    if (!response.ok) { tell(`Not done: ${await reasonOf(response)}`); return; }
    const answer = await response.json();
    const done = answer.draining ? `${uplink} is drained.` : `${uplink} is in use again.`;
    tell(answer.warning ?? done);
  } catch {
    tell('Not done: the daemon cannot be reached.');
  }
}
