"""The table of golden cases: every network is plain data, an ordered list of layers.

A case is {name, about, batch, inputs, layers, loss} and, for the optimizer cases, {optimizer, clip, steps}. Layers:

    {kind: "linear", name, fan_in, fan_out, gain}     z = x W^T + b, W [fan_out, fan_in]; gain scales the draw (generator.py)
    {kind: "activation", name, function}              elementwise; functions as in activations.py
    {kind: "softmax", name}                           over the features
    {kind: "batch-norm", name, width, eps}            training mode, statistics over the batch, biased variance inside;
                                                      the running variance takes the unbiased one, momentum 0.1
    {kind: "layer-norm", name, width, eps}            over the features, biased variance
    {kind: "rms-norm", name, width, eps}              x / sqrt(mean(x^2) + eps) * weight
    {kind: "residual", name, scale, learnable, branch}  y = x + scale * F(x), F the layers of `branch`; a learnable scale is
                                                      one scalar parameter `<name>.alpha` that starts at `scale`

Names: fcN for linear layers, normN and actN for what belongs to fcN, blockN for the residual around fcN.
Losses: "cross-entropy", mean over the batch; "mse", mean over batch and outputs;
"mse-classes" and "bce" (on logits) likewise, against one-hot rows of labels, one 0 or 1 where there is one output.
"""

SIGMOID_DEPTH = 20
BATCH_NORM_EPS = 1e-5


def linear(index, fan_in, fan_out, gain=1.0):
    return {"kind": "linear", "name": f"fc{index}", "fan_in": fan_in, "fan_out": fan_out, "gain": gain}


def activation(index, function):
    return {"kind": "activation", "name": f"act{index}", "function": function}


def norm(index, kind, width):
    return {"kind": kind, "name": f"norm{index}", "width": width, "eps": BATCH_NORM_EPS}


def residual(index, branch, scale, learnable=False):
    return {"kind": "residual", "name": f"block{index}", "scale": scale, "learnable": learnable, "branch": branch}


def plain(inputs, width, hidden, outputs, function, norm_kind=None, gain=1.0):
    """fc1 [norm1] act1 ... fcH [normH] actH fc(H+1)."""
    layers = []
    for index in range(1, hidden + 1):
        layers.append(linear(index, inputs if index == 1 else width, width, gain))
        if norm_kind:
            layers.append(norm(index, norm_kind, width))
        layers.append(activation(index, function))
    layers.append(linear(hidden + 1, width, outputs, gain))
    return layers


def preactivation(inputs, width, blocks, outputs, function, scale, learnable=False, norm_kind=None, gain=1.0):
    """Stem fc1; blocks x + scale * fcK(actK([normK] x)), K = 2..blocks+1; then [norm] act and the head."""
    layers = [linear(1, inputs, width, gain)]
    for index in range(2, blocks + 2):
        branch = [norm(index, norm_kind, width)] if norm_kind else []
        branch += [activation(index, function), linear(index, width, width, gain)]
        layers.append(residual(index, branch, scale, learnable))
    last = blocks + 2
    if norm_kind:
        layers.append(norm(last, norm_kind, width))
    layers += [activation(last, function), linear(last, width, outputs, gain)]
    return layers


def postactivation(inputs, width, blocks, outputs, function, scale, norm_kind=None, gain=1.0):
    """Stem fc1 act1; blocks x + scale * actK([normK] fcK(x)); then the head."""
    layers = [linear(1, inputs, width, gain), activation(1, function)]
    for index in range(2, blocks + 2):
        branch = [linear(index, width, width, gain)]
        branch += [norm(index, norm_kind, width)] if norm_kind else []
        branch.append(activation(index, function))
        layers.append(residual(index, branch, scale))
    layers.append(linear(blocks + 2, width, outputs, gain))
    return layers


def case(name, about, batch, inputs, layers, loss="cross-entropy", **training):
    return {"name": name, "about": about, "batch": batch, "inputs": inputs, "layers": layers, "loss": loss, **training}


HE = 6.0**0.5  # uniform bound sqrt(6 / fan_in)

NETWORKS = [
    case("sigmoid_20", "20 linear layers, 64-(19 x 128)-10, sigmoid: vanishes", 32, 64,
         plain(64, 128, SIGMOID_DEPTH - 1, 10, "sigmoid")),
    case("relu_he_12", "12 linear layers, 64-(11 x 64)-10, ReLU, He uniform: flat", 32, 64,
         plain(64, 64, 11, 10, "relu", gain=HE)),
    case("relu_batch_norm", "6 hidden layers of 32, linear - batch norm - ReLU", 32, 16,
         plain(16, 32, 6, 10, "relu", "batch-norm")),
    case("relu_layer_norm", "6 hidden layers of 32, linear - layer norm - ReLU", 32, 16,
         plain(16, 32, 6, 10, "relu", "layer-norm")),
    case("relu_rms_norm", "6 hidden layers of 32, linear - RMS norm - ReLU", 32, 16,
         plain(16, 32, 6, 10, "relu", "rms-norm")),
    case("residual_scaled", "pre-activation residual, 6 blocks of 32, scale 1/sqrt(6), He uniform", 32, 16,
         preactivation(16, 32, 6, 10, "relu", 6.0**-0.5, gain=HE)),
    case("residual_plain", "pre-activation residual, 6 blocks of 32, scale 1, He uniform: grows", 32, 16,
         preactivation(16, 32, 6, 10, "relu", 1.0, gain=HE)),
    case("residual_learnable", "pre-activation residual, 6 blocks of 32, learnable scale at 0.5", 32, 16,
         preactivation(16, 32, 6, 10, "relu", 0.5, learnable=True, gain=HE)),
    case("residual_zero", "as above with the learnable scale at 0: branch gradients exactly 0, alpha's is not", 32, 16,
         preactivation(16, 32, 6, 10, "relu", 0.0, learnable=True, gain=HE)),
    case("residual_pre_norm", "pre-activation residual, layer norm first in each branch", 32, 16,
         preactivation(16, 32, 6, 10, "gelu", 1.0, norm_kind="layer-norm")),
    case("residual_post", "x + relu(batch norm(fc x)), 6 blocks of 32, scale 1", 32, 16,
         postactivation(16, 32, 6, 10, "relu", 1.0, norm_kind="batch-norm")),
    case("tanh_regression", "4 hidden layers of 24, tanh, mean squared error", 32, 10,
         plain(10, 24, 4, 1, "tanh"), loss="mse"),
    case("tanh_two_outputs", "3 hidden layers of 16, tanh, mean squared error over 2 outputs", 24, 8,
         plain(8, 16, 3, 2, "tanh"), loss="mse"),
    case("softmax_squared", "3 hidden layers of 16, softmax, mean squared error against classes", 24, 8,
         plain(8, 16, 3, 5, "tanh", gain=HE) + [{"kind": "softmax", "name": "output"}], loss="mse-classes"),
    case("sigmoid_squared", "3 hidden layers of 16, sigmoid, mean squared error against classes", 24, 8,
         plain(8, 16, 3, 5, "tanh", gain=HE) + [{"kind": "activation", "name": "output", "function": "sigmoid"}],
         loss="mse-classes"),
    case("binary_several", "3 hidden layers of 16, sigmoid cross-entropy of 5 outputs", 24, 8,
         plain(8, 16, 3, 5, "tanh", gain=HE), loss="bce"),
    case("binary_one", "3 hidden layers of 16, sigmoid cross-entropy of one output", 24, 8,
         plain(8, 16, 3, 1, "tanh", gain=HE), loss="bce"),
]

ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
TRAINED = {
    "sgd": {"optimizer": {"kind": "sgd", "lr": 0.05}},
    "momentum": {"optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": False}},
    "nesterov": {"optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}},
    "adam": {"optimizer": {"kind": "adam", **ADAM}},
    "adam_large_eps": {"optimizer": {"kind": "adam", **ADAM, "eps": 1e-2}},
    "adamw": {"optimizer": {"kind": "adamw", **ADAM, "weight_decay": 0.01}},
    "sgd_weight_decay": {"optimizer": {"kind": "sgd", "lr": 0.05, "weight_decay": 0.1}},
    "nesterov_weight_decay": {
        "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    },
    "adam_weight_decay": {"optimizer": {"kind": "adam", **ADAM, "weight_decay": 0.1}},
    "rmsprop": {"optimizer": {"kind": "rmsprop", "lr": 1e-3, "alpha": 0.99, "eps": 1e-8}},
    "rmsprop_momentum": {
        "optimizer": {
            "kind": "rmsprop", "lr": 1e-3, "alpha": 0.9, "eps": 1e-3, "momentum": 0.9, "weight_decay": 0.1
        }
    },
    "adagrad": {"optimizer": {"kind": "adagrad", "lr": 0.01, "eps": 1e-10}},
    "adagrad_weight_decay": {"optimizer": {"kind": "adagrad", "lr": 0.01, "eps": 1e-2, "weight_decay": 0.1}},
    "adam_clip_update": {"optimizer": {"kind": "adam", **ADAM, "lr": 0.05, "clip_update": True}},
    "adamw_clip_update": {
        "optimizer": {"kind": "adamw", **ADAM, "lr": 0.05, "beta1": 0.5, "weight_decay": 0.1, "clip_update": True}
    },
    "adam_spikes": {"optimizer": {"kind": "adam", **ADAM, "lr": 0.02, "spike_limit": 100.0, "reset_every": 7}},
    "sgd_trust_ratio": {"optimizer": {"kind": "sgd", "lr": 0.05, "trust_ratio": True}},
    "momentum_trust_ratio": {
        "optimizer": {"kind": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.1, "trust_ratio": True}
    },
    "adamw_trust_ratio": {"optimizer": {"kind": "adamw", **ADAM, "lr": 0.02, "weight_decay": 0.1, "trust_ratio": True}},
    "muon": {"optimizer": {"kind": "muon", **ADAM, "lr": 0.02, "momentum": 0.95, "weight_decay": 0.1}},
    "sign": {"optimizer": {"kind": "sign", "lr": 1e-3, "momentum": 0.9, "weight_decay": 0.1}},
    "sgd_clip_value": {"optimizer": {"kind": "sgd", "lr": 0.05}, "clip": {"kind": "value", "limit": 0.01}},
    "sgd_clip_norm": {"optimizer": {"kind": "sgd", "lr": 0.05}, "clip": {"kind": "norm", "limit": 0.05}},
    "sgd_clip_global_norm": {"optimizer": {"kind": "sgd", "lr": 0.05}, "clip": {"kind": "global-norm", "limit": 0.05}},
}

OPTIMIZERS = [
    case(f"optimizer_{name}", "10 steps on one batch, tanh regression, 4 hidden layers of 24", 32, 10,
         plain(10, 24, 4, 1, "tanh"), loss="mse", steps=10, **training)
    for name, training in TRAINED.items()
]
# Hidden matrices that are higher than wide, and wider than high.
OPTIMIZERS += [
    case(f"optimizer_muon_{name}", "10 steps on one batch, tanh regression, hidden layers of 24, 16, 32 and 24", 32, 10,
         [linear(1, 10, 24), activation(1, "tanh"), linear(2, 24, 16), activation(2, "tanh"), linear(3, 16, 32),
          activation(3, "tanh"), linear(4, 32, 24), activation(4, "tanh"), linear(5, 24, 1)],
         loss="mse", steps=10,
         optimizer={"kind": "muon", **ADAM, "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "adjust": adjust})
    for name, adjust in {"matched": "match-rms-adamw", "original": "original"}.items()
]

CASES = {entry["name"]: entry for entry in NETWORKS + OPTIMIZERS}
