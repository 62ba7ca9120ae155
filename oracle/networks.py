"""Builds a case's network in float64 and measures one training step, or a run of steps, of it.

What `measure` returns, in float64, L2 norms over the whole tensor (batch included, not divided by anything):

    loss
    joints       one per layer output in program order, the input first: {name, output_norm, cotangent_norm}; the cotangent
                 is dL/d(output) of the stated (mean) loss. fcN is dL/dz, actN is dL/da. A residual's branch comes before
                 the residual itself.
    residuals    {name, skip_norm, branch_norm, inner_product}: the two parts of dL/dx at the input x of y = x + s F(x),
                 through the skip (dL/dy) and through the branch, and their inner product
    parameters   in the order drawn: {name, shape, norm, gradient_norm, gradient_abs_sum, gradient_first,
                 gradient_last}; shape [fan_out, fan_in] for weights, first and last in row-major order
    running      per batch norm after this one forward pass: {name, mean_norm, variance_norm}
"""

import torch
import torch.nn.functional as F

import generator
import optimizers
from activations import FUNCTIONS

RUNNING_MOMENTUM = 0.1


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


class Network:
    """A case's layers with their parameters; `forward` records every joint."""

    def __init__(self, case):
        self.case = case
        self.parameters = {}
        self.running = {}
        self._draw(case["layers"], generator.Stream(generator.PARAMETERS))
        outputs = [layer for layer in case["layers"] if layer["kind"] == "linear"][-1]["fan_out"]
        self.inputs = tensor(generator.inputs(case["batch"], case["inputs"]))
        if case["loss"] == "cross-entropy":
            self.goal = torch.tensor(generator.labels(case["batch"], outputs))
        elif case["loss"] in ("mse-classes", "bce"):
            labels = torch.tensor(generator.labels(case["batch"], max(outputs, 2)))
            rows = labels[:, None] if outputs == 1 else F.one_hot(labels, outputs)
            self.goal = rows.to(torch.float64)
        elif case["loss"] == "mse":
            self.goal = tensor(generator.targets(case["batch"], outputs))
        else:
            raise ValueError(f"unknown loss {case['loss']!r}")

    def _add(self, name, values):
        self.parameters[name] = tensor(values).requires_grad_()

    def _draw(self, layers, stream):
        for layer in layers:
            kind, name = layer["kind"], layer["name"]
            if kind == "linear":
                weight, bias = generator.linear_parameters(stream, layer["fan_out"], layer["fan_in"], layer["gain"])
                self._add(f"{name}.weight", weight)
                self._add(f"{name}.bias", bias)
            elif kind in ("batch-norm", "layer-norm", "rms-norm"):
                self._add(f"{name}.weight", generator.norm_weight(stream, layer["width"]))
                if kind != "rms-norm":
                    self._add(f"{name}.bias", generator.norm_bias(stream, layer["width"]))
                if kind == "batch-norm":
                    zeros = torch.zeros(layer["width"], dtype=torch.float64)
                    self.running[name] = (zeros, torch.ones_like(zeros))
            elif kind == "residual":
                if layer["learnable"]:
                    self._add(f"{name}.alpha", layer["scale"])
                self._draw(layer["branch"], stream)
            elif kind not in ("activation", "softmax"):
                raise ValueError(f"unknown layer kind {kind!r}")

    def forward(self, joints=None, residuals=None):
        """The loss. `joints` takes (name, tensor) pairs, `residuals` (name, output, branch input) triples."""
        x = self.inputs
        if joints is not None:
            x = x.clone().requires_grad_()
            joints.append(("input", x))
        output = self._run(self.case["layers"], x, joints, residuals)
        if self.case["loss"] in ("mse", "mse-classes"):
            return F.mse_loss(output, self.goal)
        if self.case["loss"] == "bce":
            return F.binary_cross_entropy_with_logits(output, self.goal)
        return F.cross_entropy(output, self.goal)

    def _run(self, layers, x, joints, residuals):
        for layer in layers:
            kind, name = layer["kind"], layer["name"]
            weight, bias = self.parameters.get(f"{name}.weight"), self.parameters.get(f"{name}.bias")
            if kind == "linear":
                x = F.linear(x, weight, bias)
            elif kind == "activation":
                x = FUNCTIONS[layer["function"]](x)
            elif kind == "softmax":
                x = torch.softmax(x, dim=1)
            elif kind == "batch-norm":
                mean, variance = self.running[name]
                x = F.batch_norm(x, mean, variance, weight, bias, True, RUNNING_MOMENTUM, layer["eps"])
            elif kind == "layer-norm":
                x = F.layer_norm(x, (layer["width"],), weight, bias, layer["eps"])
            elif kind == "rms-norm":
                x = x * torch.rsqrt(x.pow(2).mean(dim=1, keepdim=True) + layer["eps"]) * weight
            elif kind == "residual":
                # A view of its own, so that the branch's share of the cotangent can be told from the skip's.
                branch_input = x.view_as(x)
                branch = self._run(layer["branch"], branch_input, joints, residuals)
                x = x + self.parameters.get(f"{name}.alpha", layer["scale"]) * branch
                if residuals is not None:
                    residuals.append((name, x, branch_input))
            if joints is not None:
                joints.append((name, x))
        return x


def norm(x):
    return float(torch.linalg.vector_norm(x.detach()))


def measure(case):
    """One forward and backward pass."""
    network, joints, residuals = Network(case), [], []
    loss = network.forward(joints, residuals)
    wanted = [x for _, x in joints] + [x for _, _, x in residuals]
    for x in wanted:
        x.retain_grad()
    loss.backward()
    return {
        "loss": float(loss.detach()),
        "joints": [{"name": name, "output_norm": norm(x), "cotangent_norm": norm(x.grad)} for name, x in joints],
        "residuals": [
            {
                "name": name,
                "skip_norm": norm(output.grad),
                "branch_norm": norm(branch_input.grad),
                "inner_product": float((output.grad * branch_input.grad).sum()),
            }
            for name, output, branch_input in residuals
        ],
        "parameters": [
            {
                "name": name,
                "shape": list(p.shape),
                "norm": norm(p),
                "gradient_norm": norm(p.grad),
                "gradient_abs_sum": float(p.grad.abs().sum()),
                "gradient_first": float(p.grad.flatten()[0]),
                "gradient_last": float(p.grad.flatten()[-1]),
            }
            for name, p in network.parameters.items()
        ],
        "running": [
            {"name": name, "mean_norm": norm(mean), "variance_norm": norm(variance)}
            for name, (mean, variance) in network.running.items()
        ],
    }


def build_optimizer(settings, parameters):
    if optimizers.is_own(settings):
        return optimizers.Rule(settings, parameters)
    kind, lr, decay = settings["kind"], settings["lr"], settings.get("weight_decay", 0.0)
    momentum = settings.get("momentum", 0.0)
    if kind == "sgd":
        nesterov = settings.get("nesterov", False)
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    if kind == "rmsprop":
        alpha, eps = settings["alpha"], settings["eps"]
        return torch.optim.RMSprop(
            parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=decay, centered=False
        )
    if kind == "adagrad":
        return torch.optim.Adagrad(parameters, lr=lr, eps=settings["eps"], weight_decay=decay)
    betas = (settings["beta1"], settings["beta2"])
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=lr, betas=betas, eps=settings["eps"], weight_decay=decay)
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=settings["eps"], weight_decay=decay)
    raise ValueError(f"unknown optimizer {kind!r}")


def clip(settings, parameters):
    """Clips the gradients as PyTorch does; a norm n becomes n * min(1, limit / (n + 1e-6))."""
    if settings is None:
        return
    if settings["kind"] == "value":
        torch.nn.utils.clip_grad_value_(parameters, settings["limit"])
    elif settings["kind"] == "norm":  # each parameter tensor on its own
        for parameter in parameters:
            torch.nn.utils.clip_grad_norm_([parameter], settings["limit"])
    elif settings["kind"] == "global-norm":
        torch.nn.utils.clip_grad_norm_(parameters, settings["limit"])
    else:
        raise ValueError(f"unknown clipping {settings['kind']!r}")


def train(case):
    """`steps` optimizer steps on the one batch: {losses, gradient_norms, parameters}.

    losses has steps + 1 entries: before each step, and after the last. gradient_norms is the global norm before each
    step, before clipping. parameters are the final ones: {name, norm, change_norm}, the change since the start.
    """
    network = Network(case)
    parameters = list(network.parameters.values())
    start = [p.detach().clone() for p in parameters]
    optimizer = build_optimizer(case["optimizer"], parameters)
    losses, gradient_norms = [], []
    for _ in range(case["steps"]):
        optimizer.zero_grad()
        loss = network.forward()
        loss.backward()
        losses.append(float(loss.detach()))
        gradient_norms.append(float(torch.stack([p.grad.pow(2).sum() for p in parameters]).sum().sqrt()))
        clip(case.get("clip"), parameters)
        optimizer.step()
    losses.append(float(network.forward().detach()))
    return {
        "losses": losses,
        "gradient_norms": gradient_norms,
        "parameters": [
            {"name": name, "norm": norm(p), "change_norm": norm(p.detach() - before)}
            for (name, p), before in zip(network.parameters.items(), start)
        ],
    }


def run(case):
    """{case, torch_version, network, result}: `train` where the case has steps, `measure` otherwise."""
    result = train(case) if "steps" in case else measure(case)
    return {"case": case["name"], "torch_version": torch.__version__, "network": case, "result": result}
