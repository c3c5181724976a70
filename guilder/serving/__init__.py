"""One process of the platform: the gateway, a service or several, behind sockets it was handed."""
