"""Update rules that PyTorch does not have, from their papers' formulas; `step` and `zero_grad` as in torch.optim.

Settings beside lr, beta1, beta2, eps, weight_decay and momentum:

    clip_update   lr of a tensor / max(1, RMS), RMS^2 = mean(g^2 / max(v_hat, eps^2))            (StableAdamW, 2023)
    spike_limit   g^2 > limit * v becomes sign(g) sqrt(limit * v), v before this gradient, uncorrected     (SPAM, 2025)
    reset_every   m = v = 0 after so many updates; lr climbs by a half cosine over min(150, every // 3)     (SPAM, 2025)
    kind = "muon"   2-D parameters but the first and the last: v = m v + g, o = NS5(g + m v) in the parameters' own precision
                  (torch.optim.Muon computes it in bfloat16), w -= lr (s o + decay w), s = 0.2 sqrt(max(rows, columns)), or
                  with adjust = "original" sqrt(max(1, rows / columns)); all others as adamw        (Jordan et al. 2024)
    kind = "sign"   v = m v + g, w -= lr (sign v + decay w)                               (signSGD, Bernstein et al. 2018)
    trust_ratio   the step u of a tensor of two axes or more becomes u |W| / |u| (LARS and LAMB, You et al. 2017, 2020)
"""

import math

import torch

CLIMB = 150


class Rule:
    def __init__(self, settings, parameters):
        self.settings, self.parameters, self.updates = settings, list(parameters), 0
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.hidden = [p for p in self.parameters if p.ndim == 2][1:-1] if settings["kind"] == "muon" else []

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self):
        lr, count = self.settings["lr"], self.updates
        every = self.settings.get("reset_every")
        if every is not None and self.updates >= every:
            count = self.updates % every
            if count == 0:
                for moment in self.first + self.second:
                    moment.zero_()
            climb = min(CLIMB, every // 3)
            if count + 1 < climb:
                lr *= (1 - math.cos(math.pi * (count + 1) / climb)) / 2
        for parameter, first, second in zip(self.parameters, self.first, self.second):
            update, factor = self.update(parameter, first, second, count)
            if self.settings.get("trust_ratio") and parameter.ndim > 1:
                size, length = parameter.norm(), update.norm()
                if size > 0 and length > 0:
                    factor = factor * size / length
            parameter -= lr * factor * update
        self.updates += 1

    def update(self, parameter, first, second, count):
        """What is subtracted, over the learning rate, and a factor on that."""
        s = self.settings
        gradient, decay = parameter.grad.clone(), s.get("weight_decay", 0.0)
        if any(parameter is hidden for hidden in self.hidden):
            first.mul_(s["momentum"]).add_(gradient)
            rows, columns = parameter.shape
            scale = 0.2 * math.sqrt(max(rows, columns))
            if s.get("adjust") == "original":
                scale = math.sqrt(max(1.0, rows / columns))
            return scale * newton_schulz(gradient + s["momentum"] * first) + decay * parameter, 1.0
        if s["kind"] == "sign":
            first.mul_(s["momentum"]).add_(gradient)
            return first.sign() + decay * parameter, 1.0
        is_decoupled = s["kind"] in ("adamw", "muon")
        if not is_decoupled:
            gradient += decay * parameter
        if s["kind"] == "sgd":
            if s.get("momentum", 0.0) == 0.0:
                return gradient, 1.0
            first.mul_(s["momentum"]).add_(gradient)
            return first.clone(), 1.0
        beta1, beta2 = s["beta1"], s["beta2"]
        limit = s.get("spike_limit")
        if limit is not None and count > 0:
            spiked = (gradient**2 > limit * second) & (second > 0)
            gradient = torch.where(spiked, gradient.sign() * (limit * second).sqrt(), gradient)
        first.mul_(beta1).add_((1 - beta1) * gradient)
        second.mul_(beta2).add_((1 - beta2) * gradient**2)
        corrected = second / (1 - beta2 ** (count + 1))
        factor = 1.0
        if s.get("clip_update"):
            rms = (gradient**2 / corrected.clamp(min=s["eps"] ** 2)).mean().sqrt()
            factor = 1.0 / max(1.0, float(rms))
        update = first / (1 - beta1 ** (count + 1)) / (corrected.sqrt() + s["eps"])
        return (update + decay * parameter if is_decoupled else update), factor


def newton_schulz(g):
    """torch.optim._muon._zeropower_via_newtonschulz with its default coefficients, in the type of `g`."""
    x = g / g.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


OWN = ("clip_update", "spike_limit", "reset_every", "trust_ratio")


def is_own(settings):
    """Whether the rule is one of these."""
    return settings["kind"] in ("muon", "sign") or any(key in settings for key in OWN)
