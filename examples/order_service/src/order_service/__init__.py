"""An order desk and a warehouse that talk through RocketMQ."""

from __future__ import annotations

from order_service.gateway import Answer, OrderGateway
from order_service.orders import Confirmation, Order, OrderDesk, Warehouse

__all__ = ["Answer", "Confirmation", "Order", "OrderDesk", "OrderGateway", "Warehouse"]
