"""The coefficients of all methods, each with its source."""

from __future__ import annotations

from .tableaux import RungeKuttaTableau, numbers, runge_kutta

# In equal steps. Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, II.1.
FIXED: dict[str, RungeKuttaTableau] = {
    "euler": runge_kutta(1, "0", weights="1"),
    "midpoint": runge_kutta(2, "0 1/2", "1/2", weights="0 1"),
    "heun2": runge_kutta(2, "0 1", "1", weights="1/2 1/2"),
    "heun3": runge_kutta(3, "0 1/3 2/3", "1/3", "0 2/3", weights="1/4 0 3/4"),
    # Kutta's 3/8 rule, as torchdiffeq's rk4
    "rk4": runge_kutta(4, "0 1/3 2/3 1", "1/3", "-1/3 1", "1 -1 1", weights="1/8 3/8 3/8 1/8"),
}

# With an embedded method: those of torchdiffeq, and tsit5.
ADAPTIVE: dict[str, RungeKuttaTableau] = {
    # Prince and Dormand, High order embedded Runge-Kutta formulae, Journal of Computational and
    # Applied Mathematics 7, 1981: 8(7)13M, with a last stage at the end of the step
    "dopri8": runge_kutta(
        8,
        "0 1/18 1/12 1/8 5/16 3/8 59/400 93/200 5490023248/9719169821 13/20 "
        "1201146811/1299019798 1 1 1",
        "1/18",
        "1/48 1/16",
        "1/32 0 3/32",
        "5/16 0 -75/64 75/64",
        "3/80 0 0 3/16 3/20",
        "29443841/614563906 0 0 77736538/692538347 -28693883/1125000000 23124283/1800000000",
        "16016141/946692911 0 0 61564180/158732637 22789713/633445777 545815736/2771057229 "
        "-180193667/1043307555",
        "39632708/573591083 0 0 -433636366/683701615 -421739975/2616292301 100302831/723423059 "
        "790204164/839813087 800635310/3783071287",
        "246121993/1340847787 0 0 -37695042795/15268766246 -309121744/1061227803 "
        "-12992083/490766935 6005943493/2108947869 393006217/1396673457 123872331/1001029789",
        "-1028468189/846180014 0 0 8478235783/508512852 1311729495/1432422823 "
        "-10304129995/1701304382 -48777925059/3047939560 15336726248/1032824649 "
        "-45442868181/3398467696 3065993473/597172653",
        "185892177/718116043 0 0 -3185094517/667107341 -477755414/1098053517 "
        "-703635378/230739211 5731566787/1027545527 5232866602/850066563 "
        "-4093664535/808688257 3962137247/1805957418 65686358/487910083",
        "403863854/491063109 0 0 -5068492393/434740067 -411421997/543043805 "
        "652783627/914296604 11173962825/925320556 -13158990841/6184727034 "
        "3936647629/1978049680 -160528059/685178525 248638103/1413531060 0",
        "14005451/335480064 0 0 0 0 -59238493/1068277825 181606767/758867731 "
        "561292985/797845732 -1041891430/1371343529 760417239/1151165299 118820643/751138087 "
        "-528747749/2220607170 1/4",
        weights="14005451/335480064 0 0 0 0 -59238493/1068277825 181606767/758867731 "
        "561292985/797845732 -1041891430/1371343529 760417239/1151165299 118820643/751138087 "
        "-528747749/2220607170 1/4 0",
        embedded="13451932/455176623 0 0 0 0 -808719846/976000145 1757004468/5645159321 "
        "656045339/265891186 -3867574721/1518517206 465885868/322736535 53011238/667516719 "
        "2/45 0 0",
        embedded_order=7,
    ),
    # Dormand and Prince 1980, with the embedded weights of Shampine 1986
    "dopri5": runge_kutta(
        5,
        "0 1/5 3/10 4/5 8/9 1 1",
        "1/5",
        "3/40 9/40",
        "44/45 -56/15 32/9",
        "19372/6561 -25360/2187 64448/6561 -212/729",
        "9017/3168 -355/33 46732/5247 49/176 -5103/18656",
        "35/384 0 500/1113 125/192 -2187/6784 11/84",
        weights="35/384 0 500/1113 125/192 -2187/6784 11/84 0",
        embedded="1951/21600 0 22642/50085 451/720 -12231/42400 649/6300 1/60",
        embedded_order=4,
    ),
    # Bogacki and Shampine, A 3(2) pair of Runge-Kutta formulas, Applied Mathematics Letters 2, 1989
    "bosh3": runge_kutta(
        3,
        "0 1/2 3/4 1",
        "1/2",
        "0 3/4",
        "2/9 1/3 4/9",
        weights="2/9 1/3 4/9 0",
        embedded="7/24 1/4 1/3 1/8",
        embedded_order=2,
    ),
    "adaptive_heun": runge_kutta(
        2, "0 1", "1", weights="1/2 1/2", embedded="0 1", embedded_order=1
    ),
    # Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
    # assumption, Computers and Mathematics with Applications 62, 2011, with the digits in use since
    "tsit5": RungeKuttaTableau(
        5,
        numbers("0 0.161 0.327 0.9 0.9800255409045097 1 1"),
        (
            (),
            numbers("0.161"),
            numbers("-0.008480655492356989 0.335480655492357"),
            numbers("2.8971530571054935 -6.359448489975075 4.3622954328695815"),
            numbers(
                "5.325864828439257 -11.748883564062828 7.4955393428898365 -0.09249506636175525"
            ),
            numbers(
                "5.86145544294642 -12.92096931784711 8.159367898576159 -0.071584973281401 "
                "-0.028269050394068383"
            ),
            numbers(
                "0.09646076681806523 0.01 0.4798896504144996 1.379008574103742 "
                "-3.290069515436081 2.324710524099774"
            ),
        ),
        numbers(
            "0.09646076681806523 0.01 0.4798896504144996 1.379008574103742 -3.290069515436081 "
            "2.324710524099774 0"
        ),
        numbers(
            "-0.00178001105222577714 -0.0008164344596567469 0.007880878010261995 "
            "-0.1447110071732629 0.5823571654525552 -0.45808210592918697 0.015151515151515152"
        ),
        4,
    ),
}

NODES: tuple[tuple[float, ...], ...] = (
    (0.0, 0.2704, 0.7162),
    (0.0, 0.156, 0.4536, 0.7948),
    (0.0, 0.1017, 0.3014, 0.5682, 0.8445),
    (0.0, 0.0639, 0.203, 0.4102, 0.6488, 0.8761),
    (0.0, 0.0418, 0.1463, 0.3088, 0.5076, 0.7149, 0.9018),
    (0.0, 0.0462, 0.0924, 0.2643, 0.4334, 0.6009, 0.7914, 0.9392),
)
"""The nodes of methods that interpolate f, in parts of a step, with 3 to 8 evaluations.

They were fitted by the mean logarithm of the gradient's error after one step, over random networks
in models of relative degree 2 and more, and compared on others, as ``python -m benchmarks.nodes``
does it. With a second node from 0.04 on, float32 holds the polynomials. Of 8 it is forgotten.
"""

LEFT_OUT: tuple[int, ...] = (1, 1, 2, 1, 2, 3)
"""Which node of each is left out for the error of a step.

With these the estimate is about as large as the error of the worst state; that of h, on which f acts
by way of others, is far smaller.
"""
