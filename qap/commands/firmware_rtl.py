"""The RTL route of ``qap firmware``: a delivered model as pipelined Verilog, proven on the events of the delivery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qap.config.schema import Firmware
    from qap.firmware.deliver import Delivery, Events

FOLDER = "rtl"


def add_rtl(delivery: Delivery, events: Events | None, settings: Firmware, say: Callable[[str], None]) -> Delivery:
    """Write a delivered model as Verilog, simulate it, and synthesise it where the settings ask for it.

    Parameters
    ----------
    delivery : Delivery
    events : Events or None
        Real events; the generated ones of the delivery are compared in any case.
    settings : Firmware
        ``adders_per_stage``, ``synthesis``, ``synthesis_seconds``.
    say : callable

    Returns
    -------
    Delivery
        With the key ``rtl`` in its record: ``parity``, ``figures``, ``real_events``.

    Raises
    ------
    InputError
        A model that the RTL route does not build.
    ToolMissingError
        da4ml, Verilator, g++ or Yosys is missing.
    QapError
        The design is too large for the time given.
    """
    import numpy as np

    from qap.firmware.model_file import load_model
    from qap.firmware.vectors import parity_vectors
    from qap.rtl import compare_rtl, synthesise, write_design
    from qap.rtl.tools import require_yosys, verilator
    from qap.search.rtl_route import rtl_figures

    verilator()  # before anything is written
    if settings.synthesis:
        require_yosys()
    project, model = delivery.project, load_model(delivery.directory / "model.keras")
    say("writing the RTL")
    kind: Any = project.inputs[0].kind
    design = write_design(
        model, kind, delivery.directory / FOLDER, adders_per_stage=settings.adders_per_stage, name=f"{project.name}_rtl"
    )
    x = parity_vectors(model, kind)[0]
    if events is not None:
        x = np.concatenate([project.quantized(events.x)[0].reshape(-1, *x.shape[1:]), x])
    say("simulating the RTL")
    parity = compare_rtl(model, design, x)
    synthesis = None
    if settings.synthesis and parity.proven:
        say("synthesising the RTL by Yosys")
        synthesis = synthesise(design, timeout=settings.synthesis_seconds)
    figures = {name: asdict(figure) for name, figure in rtl_figures(design, synthesis).items()}
    return delivery.noted(rtl={"parity": asdict(parity), "figures": figures, "real_events": events is not None})


def said(record: Mapping[str, Any]) -> list[str]:
    """Return a line on the RTL of a delivery for the terminal, none where it has none."""
    if "rtl" not in record:
        return []
    parity, figures = record["rtl"]["parity"], record["rtl"]["figures"]
    shown = ", ".join(f"{name} {found['value']:g}" for name, found in figures.items())
    return [f"RTL: {parity['exact']:,} of {parity['events']:,} events bit-exact; {shown}"]
