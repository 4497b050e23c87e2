"""The catalogue: every displayed equation of the tutorial, as printed and as corrected.

The tutorial is "A tutorial on neural ordinary differential equations" by Alek Dimitriev,
2020-04-10. To add an equation, add its entry here, and let the module that measures its section
yield an ``Evaluation`` with its key. Nothing of this is in the digest of a cell, so a better
wording measures nothing again.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Equation:
    """One equation of the tutorial; it is expected to slip where a kind of slip is named.

    Attributes:
        key: its name in the rows.
        section: where in the tutorial it stands.
        name: what it says, in a few words.
        printed: the formula of the tutorial, as text.
        corrected: the formula without its slip; empty where none is expected.
        kind: what is wrong with the printed one, as listed before the first run.
        role: ``result`` asserts, ``definition`` introduces, ``example`` is a number for a reader
            and no equation of the tutorial.
    """

    key: str
    section: str
    name: str
    printed: str
    corrected: str = ""
    kind: str = ""
    role: str = "result"


SECTION_NAMES = {
    "residual": "Residual networks",
    "euler": "ODEs and Euler's method",
    "adjoint": "Neural ODEs, adjoint method",
    "proof": "Proof of the adjoint method",
    "algorithm": "Algorithm",
    "change": "Change of variables",
    "flows": "Normalizing flows",
    "augmented": "Augmented neural ODEs",
}

EQUATIONS = (
    Equation(
        "residual_block",
        "residual",
        "Residual block",
        "x_{n+1} = F(x_n) + x_n",
        "x_{n+1} = F_{n+1}(x_n) + x_n",
        "index",
        "definition",
    ),
    Equation(
        "plain_gradient",
        "residual",
        "Gradient, plain net",
        "dy/dw1 = dF3/dx2 dx2/dw1 = dF3/dx2 dF2/dx1 dx1/dw1 = w3 w2 x0",
    ),
    Equation(
        "residual_composition",
        "residual",
        "Residual net written out",
        "y = F3(F2(F1(x0) + x0) + F1(x0) + x0) + F2(F1(x0) + x0) + F1(x0) + x0",
    ),
    Equation(
        "residual_gradient",
        "residual",
        "Gradient, residual net",
        "dy/dw1 = w3 w2 x0 + w3 x0 + w2 x0 + x0",
    ),
    Equation(
        "ode_definition",
        "euler",
        "ODE of order n",
        "f(t, h, h', ..., h^(n-1)) = h^(n)",
        role="definition",
    ),
    Equation(
        "example_solution",
        "euler",
        "Solution of h' = 5h - 3",
        "h proportional to e^{5t}",
        "h = 3/5 + (h0 - 3/5) e^{5t}",
        "constant",
    ),
    Equation("taylor", "euler", "Taylor expansion", "h(t + a) = h(t) + a h'(t) + ..."),
    Equation(
        "plugging_in",
        "euler",
        "Taylor with h' = f(h, t)",
        "h(t + a) ~ h(t) + a f(t, h(t))",
        "h(t + a) ~ h(t) + a f(h(t), t)",
        "argument order",
    ),
    Equation(
        "euler_step",
        "euler",
        "Euler's method (boxed)",
        "h_{n+1} = h_n + a f(h_n, t_n)",
        role="definition",
    ),
    Equation(
        "euler_table",
        "euler",
        "Table: its arithmetic",
        "(t, h_n, h'_n) = (0, 1, 2), (1, 3, 12), (2, 15, 72)",
    ),
    Equation(
        "euler_table_exact",
        "euler",
        "Table: h(1), h(2) as solution",
        "h(1) = 3, h(2) = 15",
        "h(1) = 59.97, h(2) = 8811.19",
        "step too large",
    ),
    Equation(
        "resnet_vs_euler",
        "adjoint",
        "ResNet beside Euler",
        "x_{n+1} = x_n + F_{n+1}(x_n) | h_{n+1} = h_n + a f(h_n, t_n) (a = 1)",
    ),
    Equation("neural_ode", "adjoint", "Neural ODE", "dz/dt = f(z, t, theta)", role="definition"),
    Equation(
        "loss",
        "adjoint",
        "Loss of the end state",
        "L(z(T)) = L(z(0) + int_0^T f dt) = L(ODE(z(0), f, 0, T, theta))",
    ),
    Equation(
        "adjoint_ode",
        "adjoint",
        "Adjoint ODE",
        "da/dt = -(df/dz) a",
        "da/dt = -(df/dz)^T a",
        "transpose",
    ),
    Equation("adjoint_end", "adjoint", "Adjoint at the end", "a(T) = dL/dz(T)"),
    Equation(
        "parameter_gradient",
        "adjoint",
        "Parameter gradient",
        "dL/dtheta = int_0^T a^T df/dtheta dt",
    ),
    Equation("loss_as_integral", "proof", "Loss as an integral", "L(z) = int_0^T l dt + L(z_0)"),
    Equation("running_loss", "proof", "Integrand of the loss", "l = dL(z_t)/dt = (dL/dz)^T f"),
    Equation(
        "lagrangian",
        "proof",
        "Lagrangian",
        "int_0^T l dt + int_0^T lambda^T (dz/dt - f) dt",
        role="definition",
    ),
    Equation(
        "lagrangian_gradient",
        "proof",
        "Gradient of the Lagrangian",
        "int grad_z l^T dz/dtheta + grad_theta l dt + int lambda^T d/dtheta dz/dt"
        " - lambda^T df/dz dz/dtheta - lambda^T df/dtheta dt",
    ),
    Equation(
        "by_parts",
        "proof",
        "By parts",
        "int lambda^T dz/dtheta dt = [lambda^T dz/dtheta]_0^T - int lambda'^T dz/dtheta dt",
        "int lambda^T d/dt dz/dtheta dt = [lambda^T dz/dtheta]_0^T - int lambda'^T dz/dtheta dt",
        "d/dt missing",
    ),
    Equation(
        "collected",
        "proof",
        "Terms collected",
        "int grad_theta l dt + (grad_z l - lambda'^T - lambda^T df/dz) dz/dtheta dt"
        " - lambda^T df/dtheta dt + lambda_T^T dz_T/dtheta",
        "int (grad_theta l + (grad_z l - lambda'^T - lambda^T df/dz) dz/dtheta"
        " - lambda^T df/dtheta) dt + lambda_T^T dz_T/dtheta",
        "integral signs",
    ),
    Equation(
        "multiplier",
        "proof",
        "ODE of the multiplier",
        "lambda'^T = grad_z l - lambda^T df/dz, lambda_T = 0",
        role="definition",
    ),
    Equation(
        "simplified_gradient",
        "proof",
        "Gradient, simplified",
        "int_0^T (grad_z L^T - lambda^T) df/dtheta dt",
    ),
    Equation("conclusion", "proof", "Adjoint from multiplier", "a = grad_z L - lambda"),
    Equation("forward_pass", "algorithm", "Forward pass", "z(T) = z(0) + int_0^T f dt"),
    Equation(
        "backward_pass",
        "algorithm",
        "Backward pass",
        "a(0) = a(T) + int_T^0 a df/dz dt",
        "a(0) = a(T) - int_T^0 a df/dz dt",
        "sign",
    ),
    Equation(
        "backward_example",
        "algorithm",
        "Example: f = theta z",
        "a(0) = a(T) + int_T^0 a theta dt",
        "a(0) = a(T) - int_T^0 a theta dt",
        "sign",
        "example",
    ),
    Equation(
        "algorithm_gradient",
        "algorithm",
        "Parameter gradient",
        "dL/dtheta = int_0^T a df/dtheta dt",
    ),
    Equation(
        "density_change",
        "change",
        "Density after a bijection",
        "p(z1) = p(z0) |det J_{f^-1}| = p(z0) |1 / det J_f|",
    ),
    Equation(
        "log_density_change",
        "change",
        "Its log density",
        "log p(z1) = log p(z0) - log |det J_f|",
    ),
    Equation(
        "instantaneous",
        "change",
        "Instantaneous change",
        "partial_t log p(z(t)) = -tr(df/dz)",
        "d/dt log p(z(t)) = -tr(df/dz)",
        "partial for total",
    ),
    Equation("expansion", "change", "Expansion of T", "T ~ z + eps dz/dt = z + eps f"),
    Equation(
        "jacobian_expansion",
        "change",
        "Expansion of dT/dz",
        "dT/dz = I + eps df/dz + O(eps^2)",
    ),
    Equation("limits", "change", "Limits of dT/dz and det", "lim dT/dz = I, lim det dT/dz = 1"),
    Equation("mixed_limit", "change", "Slope of dT/dz at eps = 0", "lim d/deps dT/dz = df/dz"),
    Equation(
        "boxed",
        "change",
        "Boxed: limits and Jacobi",
        "lim det dT/dz = 1, lim d/deps dT/dz = df/dz, d|A|/dt = |A| tr(A^-1 dA/dt)",
    ),
    Equation(
        "proof_start",
        "change",
        "Proof, line 1",
        "partial_t log p(z(t)) = lim 1/eps [log p - log |det dT/dz| - log p]",
        "d/dt log p(z(t)) = lim 1/eps [log p - log |det dT/dz| - log p]",
        "partial for total",
    ),
    Equation(
        "proof_hopital",
        "change",
        "Proof, line 2",
        "-lim 1/eps log |det dT/dz| = -lim d/deps log |det dT/dz|",
    ),
    Equation(
        "proof_chain",
        "change",
        "Proof, line 3",
        "-lim d/deps |det dT/dz| lim (det dT/dz)^-1 = -lim d/deps |det dT/dz|",
    ),
    Equation(
        "proof_jacobi",
        "change",
        "Proof, line 4",
        "-lim |det dT/dz| tr(lim dT^-1/dz lim d/deps dT/dz) = -tr(df/dz)",
    ),
    Equation(
        "flow_density",
        "flows",
        "Density of a flow",
        "q(z') = q(z) |det df^-1/dz'| = q(z) |det df/dz|^-1",
    ),
    Equation(
        "flow_composition",
        "flows",
        "Composed flow",
        "z_K = f_K o ... o f_2 o f_1(z_0)",
        role="definition",
    ),
    Equation(
        "flow_sum",
        "flows",
        "Log density, K layers",
        "ln q_K = ln q_0 - sum_k ln det |df_k/dz_k|",
        "ln q_K = ln q_0 - sum_k ln |det df_k/dz_{k-1}|",
        "index and bars",
    ),
    Equation(
        "planar_layer",
        "flows",
        "Planar flow",
        "z(t+1) = z(t) + u h(w^T z(t) + b)",
        role="definition",
    ),
    Equation(
        "planar_determinant",
        "flows",
        "Planar flow: determinant",
        "|det dz(t+1)/dz| = |det(I + u (dh/dz)^T)| = |1 + u^T dh/dz|",
    ),
    Equation(
        "planar_density",
        "flows",
        "Planar flow: log density",
        "log p(z(t+1)) = log p(z(t)) - log |1 + u^T dh/dz|",
    ),
    Equation("planar_cnf", "flows", "Planar CNF", "dz/dt = u h(w^T z + b)", role="definition"),
    Equation(
        "planar_cnf_rate",
        "flows",
        "Planar CNF: rate",
        "partial_t log p(z(t)) = -tr(df/dz) = -u^T dh/dz",
        "d/dt log p(z(t)) = -tr(df/dz) = -u^T dh/dz",
        "partial for total",
    ),
    Equation(
        "planar_cnf_integral",
        "flows",
        "Planar CNF: integral",
        "log p(z_T) = log p(z_0) - int_0^T tr(dh/dz) dt",
        "log p(z_T) = log p(z_0) - int_0^T u^T dh/dz dt",
        "factor u missing",
    ),
    Equation(
        "concentric",
        "augmented",
        "Concentric classes",
        "g(x) = -1 if |x| <= r1, g(x) = 1 if r2 <= |x| <= r3",
        role="definition",
    ),
    Equation(
        "augmented_ode",
        "augmented",
        "Augmented ODE",
        "d/dt [h, a] = f([h, a], t), [h, a](0) = [x, 0]",
        role="definition",
    ),
)

BY_KEY = {equation.key: equation for equation in EQUATIONS}
