"""The layered cut-out puppet: the reference image's figure, cut up and moved by the driver's joints."""
