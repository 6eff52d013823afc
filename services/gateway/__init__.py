"""Gateway: what Envoy, the front door, cannot answer by itself.

Envoy takes REST, gRPC and gRPC-Web on one port and sends each call to its service; here are the home page, operations
over all services, the reflection of every contract, and SCIM, by which identity providers tell the directory. Owns no events; follows the directory, to know what a caller is
to whom. It is the only caller of services inside the system.
"""
