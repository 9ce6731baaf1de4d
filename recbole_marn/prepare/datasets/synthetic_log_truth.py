from __future__ import annotations

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from recbole_marn.prepare.datasets import synthetic_log as made

def observed(world, log, behaved, typed=True, history=True):
    """p of one who knows the generator but no taste."""
    z = made.BASE + sum(v for k, v in made.log_odds(world, log).items() if k != "photo")
    n = len(z)
    per = np.stack([made.sigmoid(z + made.log_odds(world, log, np.full(n, s))["photo"]) for s in range(4)], 1)
    if not history:
        return per.mean(1)
    ll = np.log(np.where(log.label[:, None] == 1, per, 1 - per))
    own = made.FOR_ONESELF * world.chosen_elsewhere()
    other = (1 - made.FOR_ONESELF) * world.chosen_elsewhere()[::-1]
    u, i, t, c = behaved.elsewhere.T
    a, b = own[:, i].T, other[:, i].T
    if typed:
        a = a * np.where(c, made.CARTS, 1 - made.CARTS)[:, None]
        b = b * np.where(c, made.CARTS_FOR_OTHERS, 1 - made.CARTS_FOR_OTHERS)[:, None]
    lb = np.log(a + b)
    uu = np.append(log.user, u); tt = np.append(log.time, t); L = np.concatenate([ll, lb])
    order = np.lexsort((tt, uu)); uu, tt, L = uu[order], tt[order], L[order]
    cum = np.concatenate([np.zeros((1, 4)), np.cumsum(L, 0)])
    key = uu * 10**11 + tt
    start = np.searchsorted(key, log.user * 10**11)
    end = np.searchsorted(key, log.user * 10**11 + log.time)
    lp = cum[end] - cum[start]
    post = np.exp(lp - lp.max(1, keepdims=True)); post /= post.sum(1, keepdims=True)
    return (post * per).sum(1)
