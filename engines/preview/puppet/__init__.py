"""The layered cut-out puppet: the reference image's figure, cut into parts and moved by the driver's joints."""
