"""Gateway: what Envoy, the front door, cannot answer by itself.

Envoy takes REST, gRPC and gRPC-Web on one port and sends each call to its service; here are the home page, operations
over all services, and the reflection of every contract. Owns no events; follows the directory, to know what a caller is
to whom. It is the only caller of services inside the system.
"""
